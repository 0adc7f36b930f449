"""Reads requests as people's programs send them. Knows nothing of time, of settings or of what is answered.

- A request line may hold raw bytes: `curl "…/generate?prefix=分开"` sends the bytes of 分开 as they are. RFC 3986 wants
  them percent-encoded, and the parser refuses anything else. They are encoded before the parser sees them.
- `Upgrade` is ignored, as RFC 9110 allows: the parser itself would take the body of such a request for the next one.
- A head has a largest size. Trailers behind a chunked body are not headers.

The parser says what it has read but not where. So it is fed a line at a time, and a plain head or a body whose length
is known as a whole: then a piece never holds the end of one message and the beginning of the next.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import quote_from_bytes

import httptools

from app.server.head import BadRequestError, checked
from app.server.refusing import RefusingProtocol
from app.server.unreadable import reason

MAX_HEAD_BYTES = 32 * 1024  # with raw bytes counted as they are encoded
ASCII = bytes(range(128))


class ReadingProtocol(RefusingProtocol):
    """One connection, from bytes to requests."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._in_request_line = True
        self._has_url = False
        self._head_bytes = 0  # of the head that is being read; in a body, since its last byte: of what frames it
        self._body_bytes = 0
        self._body_left = 0  # of a body or a chunk, once its length is known
        self._chunk_line = b""  # what came so far of the line that gives a chunk's length

    def data_received(self, data: bytes) -> None:
        self._unset_keepalive_if_required()
        begin = 0
        while begin < len(data) and self._refusal is None:
            end = self._end_of_piece(data, begin)
            self._read(data[begin:end])
            begin = end

    def _end_of_piece(self, data: bytes, begin: int) -> int:
        if self._body_left:
            return begin + self._body_left
        if self._in_request_line and data[begin] not in b"\r\n":
            # Most heads: whole, and nothing to encode. After a line's end the blank line might stand here already.
            end = data.find(b"\r\n\r\n", begin) + 4
            if end > 3 and data[begin:end].isascii():
                return end
        return data.find(b"\n", begin) + 1 or len(data)

    def _read(self, piece: bytes) -> None:
        if self._in_request_line and not piece.isascii():
            piece = quote_from_bytes(piece, ASCII).encode()
        self._head_bytes += len(piece)
        if self._in_body and not self._body_left:
            self._chunk_line += piece
        if not self._in_body and self._head_bytes > MAX_HEAD_BYTES:
            self._refuse_head(piece)
            return
        try:
            self._feed(piece)
        except httptools.HttpParserError as error:
            self.refuse_unreadable(*reason(error, b"" if self._has_url else piece))
        else:
            if self._head_bytes > MAX_HEAD_BYTES:
                self.refuse_unreadable(431, f"what frames the request's body is larger than {MAX_HEAD_BYTES} bytes")
        if piece.endswith(b"\n"):
            self._chunk_line = b""
            if self._has_url:
                self._in_request_line = False

    def _refuse_head(self, piece: bytes) -> None:
        line = piece.partition(b"\r\n")[0]
        before = self._head_bytes - len(piece)  # without the pieces of a line that came in several
        if self._in_request_line and line and (before + len(line) > MAX_HEAD_BYTES):
            self.refuse_unreadable(414, f"the request's first line is longer than {MAX_HEAD_BYTES} bytes")
        else:
            self.refuse_unreadable(431, f"the request's head is larger than {MAX_HEAD_BYTES} bytes")

    def _feed(self, piece: bytes) -> None:
        try:
            self.parser.feed_data(piece)
        except httptools.HttpParserUpgrade:
            pass
        else:
            return
        self._read_again_without_upgrade()  # here, where no exception is the context of its errors

    def _read_again_without_upgrade(self) -> None:
        lines = [b"%s %s HTTP/%s" % (self.parser.get_method(), self.url, self.parser.get_http_version().encode())]
        lines += [name + b": " + value for name, value in self.headers if name != b"upgrade"]
        self.parser = httptools.HttpRequestParser(self)
        self.parser.set_dangerous_leniencies(lenient_data_after_close=True)  # as in every connection of uvicorn's
        self.parser.feed_data(b"\r\n".join([*lines, b"", b""]))

    # The parser's callbacks.

    def on_url(self, url: bytes) -> None:
        self._has_url = True
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._in_body:
            return
        if len(name) == 14 and name.lower() == b"content-length":
            self._body_left = int(value)
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        if self.parser.should_upgrade():
            if self.parser.get_method() == b"CONNECT":
                raise BadRequestError(400, "CONNECT is for proxies, and this is none")
            return
        version = self.parser.get_http_version()
        self.url = checked(self.parser.get_method(), version, self.url, self.headers)
        if version == "1.0":
            self.expect_100_continue = False  # it would take a 100 for the answer
        super().on_headers_complete()
        self._open.append(self.cycle)
        self._head_bytes = self._body_bytes = 0
        self._in_body = True

    def on_chunk_header(self) -> None:
        self._body_left = int(self._chunk_line.partition(b";")[0], 16)

    def on_body(self, body: bytes) -> None:
        self._head_bytes = 0
        self._body_bytes += len(body)
        self._body_left -= min(self._body_left, len(body))
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._has_url = False
        self._head_bytes = self._body_left = 0
        if self.parser.should_upgrade():
            return
        self._in_request_line = True
        self._in_body = False
        super().on_message_complete()
