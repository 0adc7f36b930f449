"""A request's identity, its line in the log and its place in the metrics. Never its contents."""

from __future__ import annotations

import logging
import re
import sys
import time
import uuid

import structlog
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.last_resort import BROKEN_OFF
from app.metrics import Metrics

log = structlog.get_logger()

_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}")  # anything else could forge a header or a log line
QUIET = frozenset({"/healthz", "/readyz", "/metrics"})  # asked every few seconds


CLIENT_LEFT = 499  # what stays where no answer began


class RequestLog:
    """ASGI middleware: takes or makes `X-Request-ID`, returns it, logs and counts the request when it has ended.

    An answer is for the one who asked: it is `no-store` unless it says otherwise itself.
    """

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self.app = app
        self.metrics = metrics

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
            about["cut_by"] = "error" if scope.get(BROKEN_OFF) else "client"
            self.metrics.cut.labels(route, about["cut_by"]).inc()
        self.metrics.requests.labels(route, method, status).inc()
        self.metrics.request_seconds.labels(route).observe(seconds)
        log.log(logging.DEBUG if route in QUIET else logging.INFO, "request", **about)


def _method(name: str) -> str:
    return name if name in ("GET", "POST", "HEAD", "OPTIONS", "PUT", "DELETE", "PATCH") else "other"


def configure(level: str, style: str) -> None:
    """Sends our log and that of the libraries to standard error: for people on a terminal, else one JSON a line.

    Tracebacks are plain in both: with local variables they would show keys and what people wrote.
    """
    json_lines = style == "json" or (style == "auto" and not sys.stderr.isatty())
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    final: list[structlog.typing.Processor] = (
        [structlog.processors.format_exc_info, structlog.processors.JSONRenderer(ensure_ascii=False)]
        if json_lines
        else [structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)]
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *final], foreign_pre_chain=shared
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    # RequestLog writes the access line; the server's own would show the query, and with it the prefix.
    logging.getLogger("uvicorn.access").disabled = True
    for name in ("uvicorn", "uvicorn.error"):
        logging.getLogger(name).handlers.clear()
        logging.getLogger(name).propagate = True
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
