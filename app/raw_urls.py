"""Takes URLs as people type them: `curl "…/generate?prefix=分开"` sends the bytes of 分开 as they are.

Also bounds what a request may send before its body: the parser itself has no limit.

RFC 3986 wants them percent-encoded, and the HTTP parser refuses anything else with a bare 400. Every browser encodes
them; curl does not. Here they are encoded before the parser sees the request line.
"""

from __future__ import annotations

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

MAX_HEAD_BYTES = 32 * 1024


class RawUrlProtocol(HttpToolsProtocol):
    """A request line with raw bytes above 127 is read as if they had been percent-encoded."""

    _in_request_line = True
    _head_bytes = 0

    def data_received(self, data: bytes) -> None:
        if self._in_request_line:
            line, newline, rest = data.partition(b"\n")
            self._in_request_line = not newline
            if not line.isascii():
                data = b"".join(b"%%%02X" % byte if byte > 127 else bytes((byte,)) for byte in line) + newline + rest
        super().data_received(data)

    def on_message_begin(self) -> None:
        self._head_bytes = 0
        super().on_message_begin()

    def on_url(self, url: bytes) -> None:
        self._count(len(url))
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        self._count(len(name) + len(value) + 4)
        super().on_header(name, value)

    def _count(self, size: int) -> None:
        self._head_bytes += size
        if self._head_bytes > MAX_HEAD_BYTES:
            raise ValueError("the request's head is too large")  # becomes a 400 and a closed connection

    def on_message_complete(self) -> None:
        self._in_request_line = True
        super().on_message_complete()
