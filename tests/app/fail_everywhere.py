"""Serves while everything fails in turn: `python -m tests.app.fail_everywhere MODELS_DIR json|console`.

Every request carries the key and the text of the environment. What it writes to standard error is the test's business.
"""

from __future__ import annotations

import asyncio
import contextlib
import faulthandler
import gc
import logging
import os
import sys
import threading
import time
import warnings
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import fastapi.routing
import httpx
import uvicorn
from fastapi import FastAPI
from starlette.responses import StreamingResponse

from app.main import create_app
from app.native.fields import GenerateBody
from app.operation.log import configure
from app.serving.watch import Watch
from app.settings import Settings
from app.wire.problems import ProblemError
from tests.app.conftest import metrics_of

KEY, SECRET, TEXT = (os.environ[name] for name in ("TEST_KEY", "TEST_SECRET", "TEST_TEXT"))
ORIGIN = "https://friend.example"
REQUESTS: list[tuple[str, str, Any]] = [
    ("POST", "/generate", {"prefix": TEXT, "num_chars": 3, "return_state": True}),
    ("POST", "/generate", {"prefix": TEXT, "num_chars": 3, "stream": True}),
    ("POST", "/score", {"text": TEXT}),
    ("POST", "/v1/completions", {"model": "tiny", "prompt": TEXT}),
    ("GET", f"/generate?prefix={TEXT}&num_chars=3", None),
    ("GET", "/models", None),
    ("GET", "/readyz", None),
    ("GET", "/metrics", None),
    ("GET", "/", None),
]


def fail(*arguments: Any, **fields: Any) -> Any:
    raise RuntimeError("injected")


async def fail_later(*arguments: Any, **fields: Any) -> Any:
    raise RuntimeError("injected")


async def fail_begun(scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"a", "more_body": True})
    raise RuntimeError("injected")


async def quote_begun(**fields: Any) -> StreamingResponse:
    """An error that quotes what a client sent, where no answer can be made of it any more."""

    async def pieces() -> AsyncIterator[bytes]:
        yield b"a"
        try:
            GenerateBody.model_validate({"prefix": TEXT, "n": TEXT})
        finally:
            raise ProblemError(422, f"injected: {TEXT}")

    return StreamingResponse(pieces())


async def leave_a_failed_task(**fields: Any) -> Any:
    async def forgotten(key: str, text: str) -> None:
        raise RuntimeError("injected")

    asyncio.get_running_loop().create_task(forgotten(KEY, TEXT))
    await asyncio.sleep(0.01)
    gc.collect()
    warnings.warn("injected", stacklevel=1)
    thread = threading.Thread(target=fail, args=(KEY, SECRET, TEXT))
    thread.start()
    thread.join()
    raise RuntimeError("injected")


@contextlib.contextmanager
def listening(app: FastAPI) -> Iterator[str]:
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_config=None, access_log=False))
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        assert thread.is_alive()
        time.sleep(0.01)
    try:
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()


def ask(client: httpx.Client, requests: list[tuple[str, str, Any]]) -> None:
    for method, path, body in requests:
        with contextlib.suppress(httpx.TransportError):
            client.request(method, path, json=body)


def layers(app: FastAPI) -> Iterator[Any]:
    layer: Any = app.middleware_stack
    while hasattr(layer, "app") and layer is not app.router:
        yield layer
        layer = layer.app


def main(models_dir: Path, style: str) -> None:
    faulthandler.enable()
    configure("debug", style)
    for name in ("httpx", "httpcore"):  # the client's own log is none of the service's
        logging.getLogger(name).setLevel("CRITICAL")
    settings = Settings(models_dir=models_dir, default_model="tiny", api_keys=KEY, secret=SECRET, cors_origins=ORIGIN)
    app = create_app(settings)
    headers = {"X-API-Key": KEY, "Origin": ORIGIN}
    with listening(app) as url, httpx.Client(base_url=url, headers=headers) as client:
        client.get(f"/generate?prefix={TEXT}", headers={"X-API-Key": KEY + "x"})
        ask(client, REQUESTS)
        for layer in layers(app):
            for failing in (fail_later, fail_begun):
                with mock.patch.object(layer, "app", failing):
                    ask(client, REQUESTS[:1])
        service = app.state.service
        everywhere: list[contextlib.AbstractContextManager[Any]] = [
            mock.patch.object(fastapi.routing, "run_endpoint_function", fail_later),
            mock.patch.object(fastapi.routing, "run_endpoint_function", quote_begun),
            mock.patch.object(fastapi.routing, "run_endpoint_function", leave_a_failed_task),
            mock.patch("app.native.generate.question_of", fail),
            mock.patch("app.native.generate.submit", fail),
            mock.patch("app.native.generate.answer", fail),
            mock.patch("app.native.stream.answer", fail),
            mock.patch("app.native.tokens.sign", fail),
            mock.patch("app.wire.handlers.respond", fail),
            mock.patch("app.middleware.guard.Guard.check", fail),
            mock.patch.object(service.registry, "get", fail),
            mock.patch.object(metrics_of(app), "requests", None),
            mock.patch.object(service.registry.get("tiny").lm.engine, "advance", fail),
        ]
        for failure in everywhere:
            with failure:
                ask(client, REQUESTS)
    with mock.patch.object(Watch, "start", fail_later), contextlib.suppress(SystemExit):
        uvicorn.Server(uvicorn.Config(create_app(settings), port=0, log_config=None)).run()
    print("everything failed", file=sys.stderr)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
