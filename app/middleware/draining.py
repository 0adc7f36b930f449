"""Takes no new request once the service is stopping; those that are open go on."""

from __future__ import annotations

from collections.abc import Callable

from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from app.wire.problems import ProblemError, respond

ALWAYS = frozenset({"/healthz", "/readyz", "/metrics"})  # operators want to see it drain


class DrainGate:
    def __init__(self, app: ASGIApp, is_draining: Callable[[], bool]) -> None:
        self.app = app
        self.is_draining = is_draining

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and self.is_draining() and scope["path"] not in ALWAYS:
            problem = ProblemError(
                503, "the server is stopping", retry_after_s=5, headers={"Connection": "close"}, code="stopping"
            )
            await respond(Request(scope), problem)(scope, receive, send)
            return
        await self.app(scope, receive, send)
