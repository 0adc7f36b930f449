"""What browsers write into `Origin` and `Host` and proxies into `X-Forwarded-Prefix`, and what of it may stand in a
setting. Knows nothing of requests."""

from __future__ import annotations

import ipaddress
import re
from urllib.parse import urlsplit

DEFAULT_PORTS = {"http": 80, "https": 443}
LOCAL_NAMES = frozenset({"localhost", "127.0.0.1", "[::1]"})
# What the service's own addresses begin with. Below a prefix that did too, nobody could tell what a path means.
OWN_PARTS = frozenset(
    {"docs", "generate", "healthz", "metrics", "models", "openapi.json", "problems", "readyz", "score", "v1", "web"}
)
_NAME = re.compile(r"[a-z0-9_-]+(\.[a-z0-9_-]+)*|\[[0-9a-f:.]+\]")
_PREFIX = re.compile(r"(/[A-Za-z0-9_~-][A-Za-z0-9._~-]*)+")


def check_origin(origin: str) -> str:
    """The origin. Raises ValueError for what no browser sends: as a setting it would never match."""
    if origin == "*":
        raise ValueError("'*' would let every page in the web use this service; name the origins")
    try:
        parts = urlsplit(origin)
        name, port = parts.hostname, parts.port
    except ValueError:
        name, port = None, None
    if not name or not origin.isascii():
        raise ValueError(f"{origin!r} is not an origin; write scheme and host, like 'https://example.com'")
    own_port = port is not None and port != DEFAULT_PORTS.get(parts.scheme)
    sent = f"{parts.scheme}://" + (f"[{name}]" if ":" in name else name) + (f":{port}" if own_port else "")
    if sent != origin:
        raise ValueError(f"{origin!r} is not an origin as browsers send it; write {sent!r}")
    return origin


def check_host(name: str) -> str:
    """The name as it is compared. Raises ValueError for one with a scheme, a port or a path."""
    if not _NAME.fullmatch(name.lower()):
        raise ValueError(f"{name!r} is not a host's name or address alone, like 'example.com' or '[::1]'")
    return name.lower()


def check_prefix(path: str) -> str:
    """The path. Raises ValueError for one below which the service cannot be."""
    if not _PREFIX.fullmatch(path):
        raise ValueError(
            f"{path!r} is not a path like '/nextchar': parts of letters, digits, '-', '.', '_' and '~', a slash before "
            "each and none at the end, and no part that begins with a dot"
        )
    if path.split("/")[1] in OWN_PARTS:
        raise ValueError(f"{path!r} begins like an address of the service's own; take another first part")
    return path


def host_name(host: str) -> str:
    """The name in a `Host` header: in small letters, without port and final dot."""
    name = host.strip().lower()
    return re.sub(r":\d*$", "", name).removesuffix(".")


def is_own(origin: str, host: str) -> bool:
    """Whether a page of this origin came from this `Host`. Schemes are not compared: a proxy may have taken TLS off."""
    scheme, separator, authority = origin.lower().partition("://")
    port = DEFAULT_PORTS.get(scheme)
    return bool(separator) and authority.removesuffix(f":{port}") == host.strip().lower().removesuffix(f":{port}")


def local_names(*bound: str) -> frozenset[str] | None:
    """The names that lead to a service which listens on these addresses alone; None where it cannot know them.

    A page can have its own name point at a loopback address (DNS rebinding), so there only these are taken.
    """
    names = [_names_of(address) for address in bound]
    known = [found for found in names if found is not None]
    return frozenset().union(*known) if known and len(known) == len(names) else None


def _names_of(address: str) -> frozenset[str] | None:
    name = address.lower()
    try:
        parsed = ipaddress.ip_address(name)
    except ValueError:
        return LOCAL_NAMES if name == "localhost" else None
    if not parsed.is_loopback:
        return None
    return LOCAL_NAMES | {f"[{name}]" if parsed.version == 6 else name}
