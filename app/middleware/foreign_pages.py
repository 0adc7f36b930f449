"""Refuses what a web page of somebody else's sends through a visitor's browser. Knows nothing of keys.

A browser sends the credentials it knows with any request to us, and a page may have its own name point at a loopback
address. `Origin`, `Sec-Fetch-Site` and `Host` are written by the browser, where no page can change them. Programs that
are no browsers send neither of the first two and are not held up.
"""

from __future__ import annotations

from collections.abc import Collection

from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from app.web_origin import LOCAL_NAMES, host_name, is_own, local_names
from app.wire.problem_types import PAGES as PROBLEMS
from app.wire.problems import ProblemError, respond
from model.errors import show

PAGES = frozenset({"/", "/docs", "/problems"})  # any page may lead there, and to those of the problems
PROBES = frozenset({"/healthz", "/readyz"})  # a balancer asks under names of its own and learns nothing that is kept
FROM_HERE = frozenset({"same-origin", "none"})  # "none": typed, or out of the bookmarks


class ForeignPages:
    """ASGI middleware. `origins` may call beside the service's own.

    `hosts` are its names beside those of the addresses that are `bound`.
    """

    def __init__(self, app: ASGIApp, bound: Collection[str], origins: Collection[str], hosts: Collection[str]) -> None:
        self.app = app
        self._origins = frozenset(origins)
        local = local_names(*bound)
        self._hosts = (local or LOCAL_NAMES) | set(hosts) if local or hosts else None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            request = Request(scope)
            problem = self.check(request)
            if problem is not None:
                await respond(request, problem)(scope, receive, send)
                return
        await self.app(scope, receive, send)

    def check(self, request: Request) -> ProblemError | None:
        host = request.headers.get("host", "")
        is_named = self._hosts is None or host_name(host) in self._hosts
        if host and not is_named and request.scope["path"] not in PROBES:
            return ProblemError(
                421, f"Host: {show(host)} is not a name of this service; NEXTCHAR_ALLOWED_HOSTS can name it"
            )
        origin = request.headers.get("origin")
        if origin is not None and origin in self._origins:
            return None
        if origin is not None and not is_own(origin, host):
            return ProblemError(403, f"Origin: {show(origin)} may not call; NEXTCHAR_CORS_ORIGINS can allow it")
        site = request.headers.get("sec-fetch-site", "none")
        if site not in FROM_HERE and not _opens_a_page(request):
            return ProblemError(
                403, f"Sec-Fetch-Site: {show(site)} may not call; NEXTCHAR_CORS_ORIGINS can allow its origin"
            )
        return None


def _opens_a_page(request: Request) -> bool:
    is_navigation = request.headers.get("sec-fetch-mode") == "navigate"
    path: str = request.scope["path"]
    is_page = path in PAGES or path.startswith(PROBLEMS)
    return is_navigation and request.method in ("GET", "HEAD") and is_page
