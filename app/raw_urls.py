"""Takes URLs as people type them: `curl "…/generate?prefix=分开"` sends the bytes of 分开 as they are.

RFC 3986 wants them percent-encoded, and the HTTP parser refuses anything else with a bare 400. Every browser encodes
them; curl does not. Here they are encoded before the parser sees the request line.
"""

from __future__ import annotations

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol


class RawUrlProtocol(HttpToolsProtocol):
    """A request line with raw bytes above 127 is read as if they had been percent-encoded."""

    _in_request_line = True

    def data_received(self, data: bytes) -> None:
        if self._in_request_line:
            line, newline, rest = data.partition(b"\n")
            self._in_request_line = not newline
            if not line.isascii():
                data = b"".join(b"%%%02X" % byte if byte > 127 else bytes((byte,)) for byte in line) + newline + rest
        super().data_received(data)

    def on_message_complete(self) -> None:
        self._in_request_line = True
        super().on_message_complete()
