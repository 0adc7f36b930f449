"""Answers without the app, and refusing what is being received. Knows nothing of how it is read."""

from __future__ import annotations

import json
from collections.abc import Callable
from http import HTTPStatus
from typing import Any

import structlog
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from app.server.http_1_0 import without_chunks

log = structlog.get_logger()


def blank(status: int) -> tuple[str, str]:
    """The `type` and `title` of a problem that says no more than its status does."""
    return "about:blank", HTTPStatus(status).phrase


class RefusingProtocol(HttpToolsProtocol):
    """One connection. `refuse` ends it when what it sends cannot be read, or by whoever has another reason.

    kind_of: from a status to the `type` and `title` of its problem.
    """

    def __init__(self, *args: Any, kind_of: Callable[[int], tuple[str, str]] = blank, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._kind_of = kind_of
        self._app = self.app
        self.app = self._run
        self._open: list[RequestResponseCycle] = []  # requests without their whole answer, in order of arrival
        self._in_body = False  # whether the last request's body is arriving
        self._refusal: dict[str, Any] | None = None

    def on_response_complete(self) -> None:
        self._open = [cycle for cycle in self._open if not cycle.response_complete]
        super().on_response_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        for cycle in self._open:  # uvicorn itself tells only the last one
            cycle.disconnected = True
            cycle.message_event.set()
        super().connection_lost(exc)

    def refuse(self, status: int, detail: str) -> None:
        """Reads no more, and answers with `status` what was being received. Answers that are due go out before.

        Where the app has that request already, it is told with `http.disconnect` that has this status and detail, and
        may answer.
        """
        self._refusal = {"status": status, "detail": detail}
        if self._in_body and self.cycle.response_complete:  # answered without its body
            self.transport.close()
        elif self._open:
            self.cycle.keep_alive = False
            if self._in_body:
                self.cycle.message_event.set()
        else:
            self.answer_and_close(status, detail)

    def refuse_unreadable(self, status: int, detail: str) -> None:
        log.warning("a request cannot be read", client=self.client_name(), status=status, detail=detail)
        self.refuse(status, detail)

    def refuse_unfinished(self, status: int, detail: str) -> None:
        """Refuses the request whose body is arriving, unless its answer has begun."""
        if self._in_body and not self.cycle.response_started:
            self.refuse(status, detail)

    def client_name(self) -> str:
        if self.client is None:
            return "unknown"  # behind a Unix socket
        host, port = self.client
        return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"

    def is_writing(self) -> bool:
        return self.transport.get_write_buffer_size() > 0

    def answer_and_close(self, status: int, detail: str, *headers: tuple[bytes, bytes]) -> None:
        """Answers without the app."""
        kind, title = self._kind_of(status)
        body = json.dumps({"type": kind, "title": title, "status": status, "detail": detail}).encode()
        lines = [b"HTTP/1.1 %d %s" % (status, HTTPStatus(status).phrase.encode())]
        for name, value in (
            *self.server_state.default_headers,
            *headers,
            (b"content-type", b"application/problem+json"),
            (b"content-length", b"%d" % len(body)),
            (b"cache-control", b"no-store"),
            (b"connection", b"close"),
        ):
            lines.append(name + b": " + value)
        self.transport.write(b"\r\n".join([*lines, b"", body]))
        self.transport.close()

    async def _run(self, scope: Any, receive: Any, send: Any) -> None:
        async def receive_unless_refused() -> Any:
            if not self._is_refused(scope):
                message = await receive()
                if not self._is_refused(scope):
                    return message
            assert self._refusal is not None
            return {"type": "http.disconnect", **self._refusal}

        if scope["http_version"] == "1.0":
            [cycle] = [cycle for cycle in self._open if cycle.scope is scope]
            send = without_chunks(cycle, send)
        await self._app(scope, receive_unless_refused, send)

    def _is_refused(self, scope: Any) -> bool:
        """Whether the request of `scope` is the one that was refused, and can still be answered so."""
        return self._refusal is not None and self._in_body and scope is self.scope and not self.cycle.response_started
