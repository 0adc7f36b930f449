"""One request to a middleware, with neither a server nor a client between."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from starlette.datastructures import Headers


def scope_of(
    method: str = "GET",
    path: str = "/models",
    client: tuple[str, int] | None = ("10.0.0.1", 1),
    **headers: str,
) -> dict[str, Any]:
    """An underscore in a header's name stands for a hyphen."""
    raw = [(name.replace("_", "-").lower().encode(), value.encode("latin-1")) for name, value in headers.items()]
    about = {"method": method, "path": path, "headers": raw, "query_string": b"", "client": client}
    return {"type": "http", **about}


@dataclass
class Answer:
    status: int
    headers: Headers
    body: bytes


class Inside:
    """The app behind a middleware: keeps what reached it, answers 200 with `inside`."""

    def __init__(self) -> None:
        self.calls: list[tuple[Any, Any, Any]] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.calls.append((scope, receive, send))
        if scope["type"] == "http":
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": b"inside"})


def sent_by(app: Any, scope: dict[str, Any], *messages: dict[str, Any]) -> list[dict[str, Any]]:
    """What the app sends to a request that brings these messages."""
    sent: list[dict[str, Any]] = []
    waiting = list(messages) or [{"type": "http.request", "body": b"", "more_body": False}]

    async def receive() -> dict[str, Any]:
        return waiting.pop(0)

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    asyncio.run(app(scope, receive, send))
    return sent


def ask(app: Any, scope: dict[str, Any], *messages: dict[str, Any]) -> Answer:
    """The one answer that it is."""
    begins, *rest = sent_by(app, scope, *messages)
    assert begins["type"] == "http.response.start"
    assert {message["type"] for message in rest} == {"http.response.body"}
    return Answer(begins["status"], Headers(raw=begins["headers"]), b"".join(message["body"] for message in rest))


def passes_what_is_not_http(make: Callable[[Any], Any]) -> None:
    """The very same objects reach the app behind the middleware where the scope is not one of HTTP."""
    inside = Inside()
    for kind in ("lifespan", "websocket"):
        scope: dict[str, Any] = {"type": kind, "path": "/models", "headers": []}
        given = (scope, object(), object())
        asyncio.run(make(inside)(*given))
        passed = inside.calls.pop()
        assert all(a is b for a, b in zip(passed, given, strict=True))
    assert inside.calls == []
