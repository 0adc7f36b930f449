"""What becomes of an error that nothing answered. Knows nothing of what went wrong.

Starlette has such a place too, outside all middleware: its 500 lacks their headers and comes behind the log's line.
"""

from __future__ import annotations

import structlog
from starlette.requests import ClientDisconnect, Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.wire.handlers import server_error
from app.wire.problems import respond

log = structlog.get_logger()

BROKEN_OFF = "nextchar.broken_off"  # in the scope of a request whose answer ended with an error


class LastResort:
    """ASGI middleware: the error is logged and answered with 500; an answer that had begun is broken off."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        has_begun = False

        async def watched(message: Message) -> None:
            nonlocal has_begun
            has_begun = True
            await send(message)

        try:
            await self.app(scope, receive, watched)
        except ClientDisconnect:
            pass  # nobody is there to be answered; the log's line says 499
        except Exception as error:
            log.error("unhandled error", exc_info=error)
            if has_begun:
                scope[BROKEN_OFF] = True  # the server closes the connection, as the answer has no end
            else:
                await respond(Request(scope), server_error())(scope, receive, send)
