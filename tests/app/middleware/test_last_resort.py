"""Answer, log and metrics agree about an error, wherever it comes from."""

from __future__ import annotations

import contextlib
import json
import threading
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import fastapi.routing
import httpx
import pytest
import uvicorn
from fastapi import FastAPI
from fastapi.testclient import TestClient
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import ClientDisconnect
from starlette.responses import StreamingResponse
from structlog.testing import capture_logs

from app.main import create_app
from app.middleware.last_resort import BROKEN_OFF, LastResort
from app.middleware.request_log import RequestLog
from tests.app import asgi
from tests.app.asgi import Inside, passes_what_is_not_http, scope_of, sent_by
from tests.app.conftest import client_of, metrics_of, settings

ORIGIN = "https://friend.example"
REQUESTS: list[tuple[str, str, dict[str, Any]]] = [
    ("GET", "/generate", {"params": {"prefix": "a"}}),
    ("POST", "/generate", {"json": {"prefix": "a"}}),
    ("POST", "/score", {"json": {"text": "ab"}}),
    ("GET", "/models", {}),
    ("GET", "/models/{name}", {}),
    ("GET", "/v1/models", {}),
    ("GET", "/v1/models/{name}", {}),
    ("POST", "/v1/completions", {"json": {"model": "tiny", "prompt": "a"}}),
    ("GET", "/healthz", {}),
    ("GET", "/readyz", {}),
    ("GET", "/metrics", {}),
    ("GET", "/", {}),
    ("GET", "/web/{name}", {}),
]
MIDDLEWARE = [
    "BodyLimit", "DrainGate", "Guard", "ForeignPages", "PlainPath", "LastResort", "CORSMiddleware",
    "ExceptionMiddleware",
]  # fmt: skip


async def begins_and_fails(scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    raise ZeroDivisionError


async def fails(*_: Any) -> None:
    raise ZeroDivisionError


async def leaves(*_: Any) -> None:
    raise ClientDisconnect


def test_what_is_not_http_passes() -> None:
    passes_what_is_not_http(LastResort)


def test_an_answer_passes_unchanged() -> None:
    inside, scope = Inside(), scope_of()
    with capture_logs() as lines:
        assert asgi.ask(LastResort(inside), scope).body == b"inside"
    assert inside.calls[0][0] is scope
    assert lines == []
    assert BROKEN_OFF not in scope


def test_an_error_is_answered_once_and_logged_with_its_cause() -> None:
    scope = scope_of(path="/v1/models")
    with capture_logs() as lines:
        answer = asgi.ask(LastResort(fails), scope)
    assert answer.status == 500
    assert json.loads(answer.body)["error"]["type"] == "server_error"
    [line] = lines
    assert (line["event"], line["log_level"]) == ("unhandled error", "error")
    assert isinstance(line["exc_info"], ZeroDivisionError)
    assert BROKEN_OFF not in scope


def test_an_answer_that_had_begun_is_broken_off_and_the_scope_says_so() -> None:
    scope = scope_of()
    with capture_logs() as lines:
        sent = sent_by(LastResort(begins_and_fails), scope)
    assert [message["type"] for message in sent] == ["http.response.start"]
    assert scope[BROKEN_OFF] is True
    assert [line["log_level"] for line in lines] == ["error"]


def test_who_left_is_not_answered_and_is_no_error() -> None:
    with capture_logs() as lines:
        assert sent_by(LastResort(leaves), scope_of()) == []
    assert lines == []


@pytest.fixture(scope="module")
def service(models_dir: Path) -> Iterator[TestClient]:
    with client_of(models_dir, cors_origins=ORIGIN) as client:
        yield client


def counted(client: TestClient, name: str, **labels: str) -> float:
    return metrics_of(client.app).registry.get_sample_value(name, labels) or 0.0


def middleware_of(app: Any) -> Iterator[Any]:
    """From the outermost to the innermost."""
    layer = app.middleware_stack
    while layer is not None:
        yield layer
        layer = getattr(layer, "app", None)


def ask(client: TestClient, method: str, path: str, **fields: Any) -> tuple[Any, list[Any]]:
    """The answer, whose type depends on which httpx the client has, and the lines of the log."""
    with capture_logs() as lines:
        answer = client.request(
            method, path.replace("{name}", "tiny"), headers={"Origin": ORIGIN, "X-Request-ID": "followed-7"}, **fields
        )
    return answer, [line for line in lines if line["event"] in ("request", "unhandled error")]


@pytest.mark.parametrize(("method", "path", "fields"), REQUESTS, ids=[f"{m} {p}" for m, p, _ in REQUESTS])
def test_an_error_in_a_route_is_a_500_in_answer_log_and_metrics(
    service: TestClient, monkeypatch: pytest.MonkeyPatch, method: str, path: str, fields: dict[str, Any]
) -> None:
    async def fail(**_: Any) -> None:
        raise RuntimeError("injected")

    monkeypatch.setattr(fastapi.routing, "run_endpoint_function", fail)
    labels = {"route": path, "method": method, "status": "500"}
    before = counted(service, "nextchar_request_count_total", **labels)
    answer, [error, line] = ask(service, method, path, **fields)
    assert answer.status_code == line["status"] == 500
    assert counted(service, "nextchar_request_count_total", **labels) == before + 1
    assert (error["log_level"], line["route"]) == ("error", path)
    assert answer.headers["x-request-id"] == "followed-7"
    assert answer.headers["access-control-allow-origin"] == ORIGIN
    assert answer.headers["cache-control"] == "no-store"
    assert "server's own" in answer.text
    assert "injected" not in answer.text


@pytest.mark.parametrize("name", MIDDLEWARE)
@pytest.mark.parametrize("begun", [False, True])
def test_an_error_in_a_middleware_is_one_too_or_breaks_the_answer_off(
    models_dir: Path, monkeypatch: pytest.MonkeyPatch, name: str, begun: bool
) -> None:
    with client_of(models_dir, cors_origins=ORIGIN) as client:
        layers = [layer for layer in middleware_of(client.app) if type(layer).__name__ == name]
        assert layers
        layer = layers[-1]  # of LastResort the inner one: the outer answers for it
        outer = next(o for o in middleware_of(client.app) if getattr(o, "app", None) is layer)

        async def fail(scope: Any, receive: Any, send: Any) -> None:
            if scope["type"] == "http":
                if begun:
                    await send({"type": "http.response.start", "status": 200, "headers": []})
                    await send({"type": "http.response.body", "body": b"a", "more_body": True})
                raise RuntimeError("injected")

        monkeypatch.setattr(outer, "app", fail)
        answer, [error, line] = ask(client, "GET", "/generate", params={"prefix": "a"})
        assert error["log_level"] == "error"
        assert answer.headers["x-request-id"] == "followed-7"
        if name not in ("CORSMiddleware", "LastResort"):  # whose own failing passes by what adds the header
            assert answer.headers.get("access-control-allow-origin") == ORIGIN
        labels = {"route": "none", "method": "GET"}
        if begun:
            assert (answer.status_code, line["status"], line["cut_by"]) == (200, 200, "error")
            assert counted(client, "nextchar_answers_cut_total", route="none", by="error") == 1
        else:
            assert answer.status_code == line["status"] == 500
            assert "cut_by" not in line
        assert counted(client, "nextchar_request_count_total", status=str(line["status"]), **labels) == 1


def test_every_middleware_is_tried_above(models_dir: Path) -> None:
    app = create_app(settings(models_dir, cors_origins=ORIGIN))
    named = [getattr(middleware.cls, "__name__", "") for middleware in app.user_middleware]
    assert set(named) - {RequestLog.__name__} == set(MIDDLEWARE) - {"ExceptionMiddleware"}
    assert named[0] == RequestLog.__name__
    assert CORSMiddleware.__name__ in named


def test_an_error_of_the_log_itself_is_still_a_500(models_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def fail(*_: Any) -> None:
        raise RuntimeError("injected")

    monkeypatch.setattr(RequestLog, "__call__", fail)
    answer = TestClient(create_app(settings(models_dir)), raise_server_exceptions=False).get("/models")
    assert answer.status_code == 500
    assert answer.headers["content-type"] == "application/problem+json"


@contextlib.contextmanager
def listening(app: FastAPI) -> Iterator[str]:
    """The app under a real server in a thread of this process."""
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_config=None, access_log=False))
    thread = threading.Thread(target=server.run)
    thread.start()
    deadline = time.monotonic() + 60
    while not server.started:
        assert time.monotonic() < deadline
        assert thread.is_alive()
        time.sleep(0.01)
    try:
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(60)


def test_an_answer_that_an_error_ends_is_not_taken_for_a_whole_one(
    models_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def begins(**_: Any) -> StreamingResponse:
        async def pieces() -> AsyncIterator[bytes]:
            yield b"a"
            raise RuntimeError("injected")

        return StreamingResponse(pieces())

    monkeypatch.setattr(fastapi.routing, "run_endpoint_function", begins)
    with (
        listening(create_app(settings(models_dir))) as url,
        capture_logs() as lines,
        pytest.raises(httpx.RemoteProtocolError, match="without sending complete message body"),
    ):
        httpx.get(f"{url}/models")
    [line] = [line for line in lines if line["event"] == "request"]
    assert (line["status"], line["cut_by"], line["route"]) == (200, "error", "/models")


@pytest.mark.parametrize("path", ["/generate", "/score", "/v1/completions"])
def test_a_client_that_leaves_before_its_body_is_there_is_499_and_no_error(
    models_dir: Path, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    async def gone(*_: Any) -> bytes:
        raise ClientDisconnect

    monkeypatch.setattr("starlette.requests.Request.body", gone)
    with client_of(models_dir) as client, capture_logs() as lines, contextlib.suppress(AssertionError):
        client.post(path, json={})
    noted = [line for line in lines if line["event"] != "model loaded"]
    assert [(line["event"], line["status"]) for line in noted if line["event"] == "request"] == [("request", 499)]
    assert not [line for line in noted if line["log_level"] in ("error", "warning")]
