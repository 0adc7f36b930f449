"""What a request's head must be beyond what the parser asks: RFC 9112 on versions, targets, `Host` and framing."""

from __future__ import annotations

import re

SHOWN_BYTES = 60  # of what a client sent, in a sentence
_HOST = re.compile(rb"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._~!$&'()*+;=%-]+)(:\d{0,5})?")
_ABSOLUTE = re.compile(rb"https?://([^/?]*)(.*)", re.IGNORECASE | re.DOTALL)


class BadRequestError(Exception):
    """A request that cannot be taken. `detail` is a sentence for whoever wrote the client."""

    def __init__(self, status: int, detail: str) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail


def checked(method: bytes, version: str, target: bytes, headers: list[tuple[bytes, bytes]]) -> bytes:
    """The target as path and query, or `*`. Where it came with a host, that takes the place of `host` in `headers`,
    whose names are in small letters. Raises BadRequestError."""
    if version not in ("1.1", "1.0"):
        raise BadRequestError(505, f"HTTP/{version} is not spoken here; this server speaks HTTP/1.1 and HTTP/1.0")
    if b"#" in target:
        raise BadRequestError(400, "the request's target holds a '#'; where it belongs to the text, send it as %23")
    hosts, codings = [], []
    for name, value in headers:
        if name == b"host":
            hosts.append(value)
        elif name == b"transfer-encoding":
            codings.append(value)
    if len(hosts) > 1:
        raise BadRequestError(400, f"Host: is given {len(hosts)} times; it is given once")
    if hosts:
        _check_host("Host", hosts[0])
    elif version == "1.1":
        raise BadRequestError(400, "Host: is missing; HTTP/1.1 needs it")
    if codings:
        _check_codings(b", ".join(codings), version)
    return target if target[:1] == b"/" else _without_host(method, target, headers)


def shown(value: bytes) -> str:
    """Bytes of a client's in a sentence: printable, on one line, short."""
    text = ascii(value[: SHOWN_BYTES + 1].decode("latin-1"))
    return text if len(text) <= SHOWN_BYTES + 2 else text[: SHOWN_BYTES + 1] + "…'"


def _check_host(where: str, host: bytes) -> None:
    if not _HOST.fullmatch(host):
        raise BadRequestError(400, f"{where}: {shown(host)} is not one host's name or address, with or without a port")


def _check_codings(codings: bytes, version: str) -> None:
    if version == "1.0":
        raise BadRequestError(400, "Transfer-Encoding: is not known in HTTP/1.0; send Content-Length")
    *_, last = codings.lower().split(b",")
    if last.strip() != b"chunked":
        raise BadRequestError(400, f"Transfer-Encoding: {shown(codings)} does not end with chunked")
    if codings.strip().lower() != b"chunked":
        raise BadRequestError(501, f"Transfer-Encoding: {shown(codings)} is not read here; chunked alone is")


def _without_host(method: bytes, target: bytes, headers: list[tuple[bytes, bytes]]) -> bytes:
    if target == b"*":
        if method != b"OPTIONS":
            raise BadRequestError(400, "the request's target '*' is for OPTIONS alone")
        return target
    absolute = _ABSOLUTE.fullmatch(target)
    if absolute is None:
        raise BadRequestError(400, "the request's target is neither a path nor an address that begins with http://")
    host, rest = absolute.groups()
    _check_host("the host in the request's target", host)
    headers[:] = [(name, value) for name, value in headers if name != b"host"] + [(b"host", host)]
    if method == b"OPTIONS" and not rest:
        return b"*"
    return rest if rest.startswith(b"/") else b"/" + rest
