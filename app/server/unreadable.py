"""Says why the parser could not read a request. Quotes nothing of it: a target holds what people write."""

from __future__ import annotations

import httptools

from app.server.head import BadRequestError

# What a client of another protocol sends first.
_OTHERS = (
    (b"\x16", "this looks like TLS; this port speaks plain HTTP"),
    (b"PROXY ", "this looks like the PROXY protocol; this port speaks plain HTTP"),
)
_TARGET = "the request's target is neither a path nor an address that begins with http://"
# The parser's reasons that help nobody who writes a client, or that it has for two things.
_REASONS = {
    "Pause on PRI/Upgrade": (505, "this looks like HTTP/2; this port speaks HTTP/1.1 and HTTP/1.0"),
    "Invalid HTTP version": (505, "the request's HTTP version is not one of HTTP/1.1 and HTTP/1.0"),
    "Expected HTTP/, RTSP/ or ICE/": (
        400,
        "no HTTP version follows the request's target; where a space belongs to the target, send it as %20",
    ),
    "Invalid characters in url": (400, _TARGET),
    "Unexpected start char in url": (400, _TARGET),
}


def reason(error: httptools.HttpParserError, begin: bytes) -> tuple[int, str]:
    """Status and sentence. begin: what was being read, from the start of a request where nothing of it is read yet."""
    if isinstance(error.__context__, BadRequestError):
        return error.__context__.status, error.__context__.detail
    for first, sentence in _OTHERS:
        if begin.startswith(first):
            return 400, sentence
    said = str(error)
    if isinstance(error, httptools.HttpParserCallbackError):
        return 400, "the request's target cannot be read"
    return _REASONS.get(said, (400, f"this is not a request that HTTP allows: {said}"))
