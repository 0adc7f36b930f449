"""One way to write each address, for all that compares paths: routes, the other middleware, the shape of errors.

A prefix under which a proxy has the service is taken off where the proxy left it on, and so is one slash at the end.
An empty part (`//`) is no other way to write an address: there is nothing at it.
"""

from __future__ import annotations

from starlette.types import ASGIApp, Receive, Scope, Send


class PlainPath:
    """ASGI middleware. root_path: the prefix where the scope names none. The one that holds is in the scope after it,
    so that links can begin with it."""

    def __init__(self, app: ASGIApp, root_path: str) -> None:
        self.app = app
        self._root_path = root_path

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            path: str = scope["path"]
            prefix = scope.get("root_path") or self._root_path
            if prefix:
                path = _below(prefix, path)
                # The framework takes it off too. Once is enough: what still begins with it is nothing of ours.
                scope["root_path"] = "" if _below(prefix, path) != path else prefix
            if path[-1:] == "/" and path[-2:-1] not in ("", "/"):
                path = path[:-1]
            scope["path"] = path
        await self.app(scope, receive, send)


def _below(prefix: str, path: str) -> str:
    """The path without the prefix, where it has it."""
    if not path.startswith(prefix) or path[len(prefix) : len(prefix) + 1] not in ("", "/"):
        return path
    return path[len(prefix) :] or "/"
