"""Reads requests as people's programs send them. Knows nothing of time, of settings or of what is answered.

- A request line may hold raw bytes: `curl "…/generate?prefix=分开"` sends the bytes of 分开 as they are. RFC 3986 wants
  them percent-encoded, and the parser refuses anything else. They are encoded before the parser sees them.
- `Upgrade` is ignored, as RFC 9110 allows: the parser itself would take the body of such a request for the next one.
- A head has a largest size. Trailers behind a chunked body are not headers.

The parser says what it has read but not where. So it is fed a line at a time, and a plain head or a body whose length
is known as a whole: then a piece never holds the end of one message and the beginning of the next.
"""

from __future__ import annotations

import json
from http import HTTPStatus
from typing import Any
from urllib.parse import quote_from_bytes

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

MAX_HEAD_BYTES = 32 * 1024  # with raw bytes counted as they are encoded
ASCII = bytes(range(128))


class ReadingProtocol(HttpToolsProtocol):
    """One connection. `refuse` ends it when what it sends cannot be read, or by whoever has another reason."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._app = self.app
        self.app = self._run
        self._open: list[RequestResponseCycle] = []  # requests without their whole answer, in order of arrival
        self._in_request_line = True
        self._has_url = False
        self._in_body = False
        self._head_bytes = 0  # of the head that is being read; in a body, since its last byte: of what frames it
        self._body_bytes = 0
        self._body_left = 0  # of a body or a chunk, once its length is known
        self._chunk_line = b""  # what came so far of the line that gives a chunk's length
        self._refusal: dict[str, Any] | None = None

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
        if not self._in_body and self._head_bytes > MAX_HEAD_BYTES:  # a head that came as a whole
            self.refuse(431, f"the request's head is larger than {MAX_HEAD_BYTES} bytes")
            return
        try:
            try:
                self.parser.feed_data(piece)
            except httptools.HttpParserUpgrade:
                self._read_again_without_upgrade()
        except httptools.HttpParserError:
            self.logger.warning("Invalid HTTP request received.")
            self.refuse(400, "this is not a request that HTTP allows")
        else:
            if self._head_bytes > MAX_HEAD_BYTES:
                self.refuse(431, f"the request's head is larger than {MAX_HEAD_BYTES} bytes")
        if piece.endswith(b"\n"):
            self._chunk_line = b""
            if self._has_url:
                self._in_request_line = False

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
                raise ValueError("CONNECT is for proxies")  # becomes a 400
            return
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

    # Answers, and refusing what is being read.

    def on_response_complete(self) -> None:
        self._open = [cycle for cycle in self._open if not cycle.response_complete]
        super().on_response_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        for cycle in self._open:  # uvicorn itself tells only the last one
            cycle.disconnected = True
            cycle.message_event.set()
        super().connection_lost(exc)

    def refuse(self, status: int, detail: str) -> None:
        """Reads no more, and answers with `status` what was being received. Answers that are due go out before.

        Where the app has that request already, it is told with `http.disconnect` that has this status and detail, and
        may answer.
        """
        self._refusal = {"status": status, "detail": detail}
        if self._in_body and self.cycle.response_complete:  # answered without its body
            self.transport.close()
        elif self._open:
            self.cycle.keep_alive = False
            if self._in_body:
                self.cycle.message_event.set()
        else:
            self.answer_and_close(status, detail)

    def refuse_unfinished(self, status: int, detail: str) -> None:
        """Refuses the request whose body is arriving, unless its answer has begun."""
        if self._in_body and not self.cycle.response_started:
            self.refuse(status, detail)

    def is_writing(self) -> bool:
        return self.transport.get_write_buffer_size() > 0

    def answer_and_close(self, status: int, detail: str, *headers: tuple[bytes, bytes]) -> None:
        """Answers without the app."""
        title = HTTPStatus(status).phrase
        body = json.dumps({"type": "about:blank", "title": title, "status": status, "detail": detail}).encode()
        lines = [b"HTTP/1.1 %d %s" % (status, title.encode())]
        for name, value in (
            *self.server_state.default_headers,
            *headers,
            (b"content-type", b"application/problem+json"),
            (b"content-length", b"%d" % len(body)),
            (b"cache-control", b"no-store"),
            (b"connection", b"close"),
        ):
            lines.append(name + b": " + value)
        self.transport.write(b"\r\n".join([*lines, b"", body]))
        self.transport.close()

    async def _run(self, scope: Any, receive: Any, send: Any) -> None:
        async def receive_unless_refused() -> Any:
            if not self._is_refused(scope):
                message = await receive()
                if not self._is_refused(scope):
                    return message
            assert self._refusal is not None
            return {"type": "http.disconnect", **self._refusal}

        await self._app(scope, receive_unless_refused, send)

    def _is_refused(self, scope: Any) -> bool:
        """Whether the request of `scope` is the one that was refused, and can still be answered so."""
        return self._refusal is not None and self._in_body and scope is self.scope and not self.cycle.response_started
