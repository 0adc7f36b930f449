"""A request's identity, its line in the log and its count. Never its contents."""

from __future__ import annotations

import logging
import re
import time
import uuid
from collections.abc import Callable

import structlog
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.middleware.last_resort import BROKEN_OFF

log = structlog.get_logger()
_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}")  # anything else could forge a header or a log line
QUIET = frozenset({"/healthz", "/readyz", "/metrics"})  # asked every few seconds
CLIENT_LEFT = 499  # what stays where no answer began


class RequestLog:
    """ASGI middleware: takes or makes `X-Request-ID`, returns it, logs and counts the request when it has ended.

    An answer is for the one who asked: it is `no-store` unless it says otherwise itself.

    count: called with route, method, status and seconds of each request that has ended. count_cut: before it, where
    the answer was not whole, with the route and "error" or "client".
    """

    def __init__(
        self, app: ASGIApp, count: Callable[[str, str, int, float], None], count_cut: Callable[[str, str], None]
    ) -> None:
        self.app = app
        self.count = count
        self.count_cut = count_cut

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        begun = time.perf_counter()
        given = Headers(scope=scope).get("x-request-id", "")
        request_id = given if _ID.fullmatch(given) else uuid.uuid4().hex
        status, is_whole = CLIENT_LEFT, False

        async def send_with_id(message: Message) -> None:
            nonlocal status, is_whole
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers["X-Request-ID"] = request_id
                headers.setdefault("Cache-Control", "no-store")
                status = message["status"]
            await send(message)
            is_whole = message["type"] == "http.response.body" and not message.get("more_body", False)

        structlog.contextvars.bind_contextvars(request_id=request_id)
        try:
            await self.app(scope, receive, send_with_id)
        finally:
            self._note(scope, status, is_whole, time.perf_counter() - begun)
            structlog.contextvars.unbind_contextvars("request_id")

    def _note(self, scope: Scope, status: int, is_whole: bool, seconds: float) -> None:
        # The route's pattern, never the path: a stranger's paths would make endless series.
        route = getattr(scope.get("route"), "path", "none")
        method = _method(scope["method"])
        about = {"method": method, "route": route, "status": status, "ms": round(seconds * 1e3, 2)}
        if status != CLIENT_LEFT and not is_whole:
            cut_by = "error" if scope.get(BROKEN_OFF) else "client"
            about["cut_by"] = cut_by
            self.count_cut(route, cut_by)
        self.count(route, method, status, seconds)
        log.log(logging.DEBUG if route in QUIET else logging.INFO, "request", **about)


def _method(name: str) -> str:
    return name if name in ("GET", "POST", "HEAD", "OPTIONS", "PUT", "DELETE", "PATCH") else "other"
