"""What a proxy in front says of a request: the client's address, the scheme, the prefix that it took off the path.

uvicorn's middleware knows which peers may say the first two (`FORWARDED_ALLOW_IPS`) and forgets who the peer was. So
the prefix is read here, before it does.
"""

from __future__ import annotations

from typing import Any

from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from app.web_origin import check_prefix


class Forwarded(ProxyHeadersMiddleware):
    """ASGI middleware in place of uvicorn's, that believes `X-Forwarded-Prefix` too, of the same peers. A value
    that is no prefix, or one of several, is left alone."""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            given = [value for name, value in scope["headers"] if name == b"x-forwarded-prefix"]
            if len(given) == 1 and scope["client"] is not None and scope["client"][0] in self.trusted_hosts:
                scope["root_path"] = _prefix(given[0].decode("latin-1"))
        await super().__call__(scope, receive, send)


def _prefix(value: str) -> str:
    try:
        return check_prefix(value)
    except ValueError:
        return ""
