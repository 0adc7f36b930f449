"""What the settings that say where the service listens may hold.

Imports little: `app/health.py` needs it and is started every few seconds.
"""

from __future__ import annotations

import re
from ipaddress import IPv6Address

DEFAULT_HOST, DEFAULT_PORT = "127.0.0.1", 8000
ALL_IPV4, ALL_IPV6 = "0.0.0.0", "::"
# What Kubernetes and Docker set in a container for each service called nextchar, or nextchar-and-more.
_LINK_NAME = re.compile(
    r"NEXTCHAR_(\w+_)?(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT_\d+_(TCP|UDP|SCTP)(_\w+)?|ENV_\w+)", re.ASCII
)
_LINK = re.compile(r"NEXTCHAR_(\w+_)?(PORT=(tcp|udp|sctp)://.*|NAME=/.*)", re.ASCII)
_NAME = re.compile(r"[\w-]+(\.[\w-]+)*\.?")


def is_link(name: str, value: str) -> bool:
    """Whether a variable is such a link and no setting: `NEXTCHAR_PORT` is one where it holds `tcp://10.0.0.1:8000`."""
    return bool(_LINK_NAME.fullmatch(name) or _LINK.fullmatch(f"{name}={value}"))


def addresses(host: str) -> tuple[str, ...]:
    """Addresses and names of a comma-separated list, without brackets. Raises ValueError for what is neither."""
    written = [part.strip() for part in host.split(",") if part.strip()]
    if not written:
        raise ValueError("a blank address would listen on all; leave it out, or write 0.0.0.0 to mean that")
    return tuple(dict.fromkeys(map(_address, written)))


def _address(written: str) -> str:
    is_bracketed = written.startswith("[") and written.endswith("]")
    address = written[1:-1] if is_bracketed else written
    if is_bracketed or address.count(":") > 1:
        try:
            return str(IPv6Address(address))
        except ValueError:
            raise ValueError(f"{written!r} is not an IPv6 address, like '::1'; NEXTCHAR_PORT has the port") from None
    if not _NAME.fullmatch(address):
        raise ValueError(f"{written!r} is not an address or a name alone, like '127.0.0.1'; NEXTCHAR_PORT has the port")
    return address
