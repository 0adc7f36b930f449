"""Who may ask, and how often. Keys are kept as digests, compared in constant time and never logged."""

from __future__ import annotations

import base64
import hashlib
import hmac
import math
import time
from collections.abc import Iterable

import limits
from limits import RateLimitItem
from limits.storage import MemoryStorage
from limits.strategies import FixedWindowRateLimiter
from pydantic import SecretStr
from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from app.wire.problem_types import PAGES
from app.wire.problems import ProblemError, respond

OPEN_PATHS = frozenset(
    {
        *("/healthz", "/readyz"),  # probes carry no keys
        # What a problem's `type` leads to, with its looks: whoever is refused may read why.
        *("/problems", "/web/ink.css", "/web/plain.css", "/web/icon.svg"),
    }
)
PAGE_FILES = "/web/"  # opening the page takes twenty of them; they do not count against a rate
# Where a browser asks the person for the key: what is opened, and what is loaded then. From `/openapi.json` the browser
# learns that the key is for all addresses, which `/docs/`, with its slash, does not tell it.
ASKING = frozenset({"/", "/docs", "/openapi.json"})
WRONG_KEYS = limits.parse("10/minute")  # for each address; then nothing from there is looked at, a right key neither
CALLER = "nextchar.caller"  # where the scope says who asks: a key's digest, without keys the address


class Guard:
    """ASGI middleware in front of every route, those that are added later included."""

    def __init__(self, app: ASGIApp, keys: Iterable[SecretStr], rate_limit: str) -> None:
        self.app = app
        # Digests have one length, so that comparing them says nothing of a key's.
        self._digests = [_digest(key.get_secret_value().encode()) for key in keys]
        self._rate = limits.parse(rate_limit) if rate_limit else None
        self._limiter = FixedWindowRateLimiter(MemoryStorage())

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            request = Request(scope)
            scope[CALLER] = _address(request)
            problem = None if is_open(scope["path"]) else self.check(request)
            if problem is not None:
                await respond(request, problem)(scope, receive, send)
                return
        await self.app(scope, receive, send)

    def check(self, request: Request) -> ProblemError | None:
        if request.method == "OPTIONS":  # a browser's preflight and a balancer's probe carry no key and decode nothing
            return None
        if self._digests:
            problem = self._check_key(request)
            if problem is not None:
                return problem
        if self._rate is None or request.scope["path"].startswith(PAGE_FILES):
            return None
        if not self._limiter.hit(self._rate, "asked", request.scope[CALLER]):
            return self._too_many(f"more than {self._rate}", self._rate, "asked", request.scope[CALLER])
        return None

    def _check_key(self, request: Request) -> ProblemError | None:
        """Names the caller by the key. Whoever guesses is stopped before the next guess is compared."""
        address = _address(request)
        if not self._limiter.test(WRONG_KEYS, "wrong", address):
            return self._too_many("too many wrong keys from this address", WRONG_KEYS, "wrong", address)
        presented = _presented(request)
        for key in presented:
            digest = _digest(key)
            if any([hmac.compare_digest(digest, known) for known in self._digests]):  # noqa: C419 - look at all
                request.scope[CALLER] = digest.hex()
                return None
        if presented:
            self._limiter.hit(WRONG_KEYS, "wrong", address, cost=len(presented))
        path: str = request.scope["path"]
        # Only Basic makes a browser ask the person who opened the page.
        asks = path in ASKING or path.startswith(PAGE_FILES)
        challenge = 'Basic realm="API key as the password", charset="UTF-8"' if asks else "Bearer"
        return ProblemError(
            401,
            "no API key, or a wrong one; send it as 'Authorization: Bearer KEY' or 'X-API-Key: KEY'",
            headers={"WWW-Authenticate": challenge},
            code="invalid_api_key",
        )

    def _too_many(self, what: str, rate: RateLimitItem, *identifiers: str) -> ProblemError:
        reset, _ = self._limiter.get_window_stats(rate, *identifiers)
        wait_s = max(1, math.ceil(reset - time.time()))
        return ProblemError(429, f"{what}; try again in {wait_s} s", retry_after_s=wait_s)


def is_open(path: str) -> bool:
    """Whether an address is there without a key and counts against no rate."""
    return path in OPEN_PATHS or path.startswith(PAGES)


def _address(request: Request) -> str:
    return request.client.host if request.client else "unknown"


def _presented(request: Request) -> list[bytes]:
    """The keys of a request, two at most. A proxy may have put an `Authorization` of its own beside ours."""
    keys = [request.headers.get("x-api-key", "").encode("latin-1")]
    scheme, _, value = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        keys.append(value.strip().encode("latin-1"))
    elif scheme.lower() == "basic":  # what a browser sends once a person typed the key as the password
        try:
            keys.append(base64.b64decode(value, validate=True).partition(b":")[2])
        except ValueError:
            keys.append(value.encode("latin-1"))
    return [key for key in keys if key]


def _digest(key: bytes) -> bytes:
    return hashlib.sha256(key).digest()
