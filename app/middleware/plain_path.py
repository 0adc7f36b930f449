"""One way to write each address, for all that compares paths: routes, the other middleware, the shape of errors.

The prefix under which a proxy has the service is taken off where the proxy left it on, and so is one slash at the end.
An empty part (`//`) is no other way to write an address: there is nothing at it.
"""

from __future__ import annotations

from starlette.types import ASGIApp, Receive, Scope, Send


class PlainPath:
    """ASGI middleware. root_path: the prefix. Where the scope has another, links begin with that one, and nothing more:
    who may name it could else name `/x` and ask for `/x/metrics` where a proxy lets nobody ask for `/metrics`."""

    def __init__(self, app: ASGIApp, root_path: str) -> None:
        self.app = app
        self._root_path = root_path

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            path: str = scope["path"]
            if self._root_path:
                path = _below(self._root_path, path)
            if path[-1:] == "/" and path[-2:-1] not in ("", "/"):
                path = path[:-1]
            scope["path"] = path
            prefix = scope.get("root_path") or self._root_path
            if prefix:  # the framework would take it off as well
                scope["root_path"] = prefix if _below(prefix, path) == path else ""
        await self.app(scope, receive, send)


def _below(prefix: str, path: str) -> str:
    """The path without the prefix, where it has it."""
    if not path.startswith(prefix) or path[len(prefix) : len(prefix) + 1] not in ("", "/"):
        return path
    return path[len(prefix) :] or "/"
