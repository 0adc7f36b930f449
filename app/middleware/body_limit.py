"""Refuses a body over the limit while it arrives, whatever its headers claim. Knows nothing of routes."""

from __future__ import annotations

from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.wire.problems import ProblemError, respond


class BodyLimit:
    """ASGI middleware. What declares itself too large is answered 413 unread; what turns out so, at that byte."""

    def __init__(self, app: ASGIApp, max_bytes: int) -> None:
        self.app = app
        self.max_bytes = max_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        too_large = ProblemError(
            413, f"the body is larger than {self.max_bytes} bytes", headers={"Connection": "close"}
        )
        declared = dict(scope["headers"]).get(b"content-length", b"0")
        if declared.isdigit() and (len(declared) > 18 or int(declared) > self.max_bytes):
            await respond(Request(scope), too_large)(scope, receive, send)
            return
        received, answered = 0, False
        problem: ProblemError | None = None

        async def limited() -> Message:
            nonlocal received, problem
            message = await receive()
            if message["type"] == "http.request":
                received += len(message.get("body", b""))
                if received > self.max_bytes:
                    problem = too_large
                    raise problem
            elif "status" in message:
                problem = _given_up(message)
            return message

        async def replacing(message: Message) -> None:
            # The framework makes a 400 of anything that goes wrong while a body is read; ours goes out instead.
            nonlocal answered
            if problem is None:
                answered = True
                await send(message)
            elif not answered:
                answered = True
                await respond(Request(scope), problem)(scope, receive, send)

        try:
            await self.app(scope, limited, replacing)
        except Exception:
            if problem is None:
                raise
        if problem is not None and not answered:
            await respond(Request(scope), problem)(scope, receive, send)


def _given_up(message: Message) -> ProblemError:
    status = message["status"]
    retry_after_s = 5 if status == 503 else None
    return ProblemError(status, message["detail"], retry_after_s=retry_after_s, headers={"Connection": "close"})
