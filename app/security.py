"""Who may ask, and how often. Keys are compared in constant time and never logged."""

from __future__ import annotations

import base64
import hashlib
import hmac
import math
import time

import limits
from limits.storage import MemoryStorage
from limits.strategies import FixedWindowRateLimiter
from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from app.errors import ProblemError, respond

OPEN_PATHS = frozenset({"/healthz", "/readyz"})  # probes carry no keys
PAGE_FILES = "/web/"  # opening the page takes twenty of them; they do not count against a rate


class Guard:
    """ASGI middleware in front of every route, those that are added later included."""

    def __init__(self, app: ASGIApp, keys: tuple[str, ...], rate_limit: str) -> None:
        self.app = app
        # Digests have one length, so that comparing them says nothing of a key's.
        self._digests = [_digest(key) for key in keys]
        self._rate = limits.parse(rate_limit) if rate_limit else None
        self._limiter = FixedWindowRateLimiter(MemoryStorage())

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"] not in OPEN_PATHS:
            request = Request(scope)
            problem = self.check(request)
            if problem is not None:
                await respond(request, problem)(scope, receive, send)
                return
        await self.app(scope, receive, send)

    def check(self, request: Request) -> ProblemError | None:
        caller = request.client.host if request.client else "unknown"
        if self._digests and request.method != "OPTIONS":  # a browser's preflight carries no key
            digest = _digest(_presented(request))
            if not any([hmac.compare_digest(digest, known) for known in self._digests]):  # noqa: C419 - look at all
                return ProblemError(
                    401,
                    "no API key, or a wrong one; send it as 'Authorization: Bearer KEY' or 'X-API-Key: KEY'",
                    # Only Basic makes a browser ask the person who opened the page.
                    headers={
                        "WWW-Authenticate": 'Basic realm="API key as the password"'
                        if request.url.path == "/"
                        else "Bearer"
                    },
                    code="invalid_api_key",
                )
            caller = digest.hex()
        if self._rate is None or request.url.path.startswith(PAGE_FILES):
            return None
        if not self._limiter.hit(self._rate, caller):
            reset, _ = self._limiter.get_window_stats(self._rate, caller)
            wait_s = max(1, math.ceil(reset - time.time()))
            return ProblemError(429, f"more than {self._rate}; try again in {wait_s} s", retry_after_s=wait_s)
        return None


def _presented(request: Request) -> str:
    scheme, _, value = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        return value.strip()
    if scheme.lower() == "basic":  # what a browser sends once a person typed the key as the password
        try:
            return base64.b64decode(value, validate=True).decode().partition(":")[2]
        except ValueError:
            return ""
    return request.headers.get("x-api-key", "")


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).digest()
