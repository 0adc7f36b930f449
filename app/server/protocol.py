"""How long a connection may take over what it sends and what it reads, and how many connections there may be.

Each connection waits for one thing at a time, with one timer. Nothing is rescheduled on the way of a request that comes
and is answered at once: a timer that goes off too early looks at the deadline that is set by then and waits on.
"""

from __future__ import annotations

import asyncio
import fcntl
import struct
import sys
import termios
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from app.server.half_closed import HalfClosedProtocol
from app.server.listening import plain

MIN_BODY_RATE = 1000  # bytes/s


@dataclass(frozen=True)
class Limits:
    """Times in seconds."""

    head_s: float  # from a connection's opening, and from a later head's first byte, to the head's end
    body_s: float  # in each such time a body ends or brings MIN_BODY_RATE bytes/s
    keep_alive_s: float  # between an answer and the first byte of the next request
    write_s: float  # in each such time a client takes at least one byte of what waits for it
    connections: int


class Protocol(HalfClosedProtocol):
    """One connection within its limits."""

    def __init__(self, limits: Limits, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._limits = limits
        self._timer: asyncio.TimerHandle | None = None
        self._deadline = 0.0
        self._late: Callable[[], None] | None = None  # what happens at the deadline; None while it is our turn
        self._body_bytes_before = 0
        self._unread_before = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if self.client is not None:
            self.client = plain(self.client)
        if len(self.connections) > self._limits.connections:
            detail = f"all {self._limits.connections} connections that the server takes are in use"
            self.answer_and_close(503, detail, (b"retry-after", b"5"))
            self._watch()
        else:
            self._wait(self._limits.head_s, self._head_is_late)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._watch()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._unset_keepalive_if_required()  # uvicorn's own timer does not know a body that nobody reads
        self._watch()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._watch()

    def resume_writing(self) -> None:
        super().resume_writing()
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._late = None
        if self._timer is not None:
            self._timer.cancel()

    def refuse(self, status: int, detail: str) -> None:
        super().refuse(status, detail)
        self._watch()

    def _watch(self) -> None:
        """Sees what the connection waits for now. Waiting that goes on keeps its deadline."""
        if self.transport.is_closing() or self.flow.write_paused:
            if self._late != self._client_does_not_read:
                self._unread_before = self._unread()
                self._wait(self._limits.write_s, self._client_does_not_read)
        elif self._refusal is not None:
            self._late = None
        elif self._in_body:
            if self._late != self._body_is_late:
                self._body_bytes_before = self._body_bytes
                self._wait(self._limits.body_s, self._body_is_late)
        elif self._head_bytes:
            if self._late != self._head_is_late:
                self._wait(self._limits.head_s, self._head_is_late)
        elif self._open:
            self._late = None
        else:
            self._wait(self._limits.keep_alive_s, self._close)

    def _wait(self, seconds: float, late: Callable[[], None]) -> None:
        self._late = late
        self._deadline = self.loop.time() + seconds
        if self._timer is None or self._timer.when() > self._deadline:
            if self._timer is not None:
                self._timer.cancel()
            self._timer = self.loop.call_at(self._deadline, self._time_is_up)

    def _time_is_up(self) -> None:
        self._timer = None
        if self._late is not None:
            if self.loop.time() < self._deadline:
                self._timer = self.loop.call_at(self._deadline, self._time_is_up)
            else:
                self._late()

    def _head_is_late(self) -> None:
        if self._head_bytes:
            self.refuse(408, f"the request's head did not arrive within {self._limits.head_s:g} s")
        else:
            self._close()

    def _body_is_late(self) -> None:
        arrived, self._body_bytes_before = self._body_bytes - self._body_bytes_before, self._body_bytes
        if self.flow.read_paused or arrived >= MIN_BODY_RATE * self._limits.body_s:
            self._wait(self._limits.body_s, self._body_is_late)
        else:
            slow = f"less than {MIN_BODY_RATE} bytes/s of the request's body arrived in {self._limits.body_s:g} s"
            self.refuse(408, slow)

    def _client_does_not_read(self) -> None:
        before, self._unread_before = self._unread_before, self._unread()
        if self._unread_before < before:
            self._wait(self._limits.write_s, self._client_does_not_read)
        else:
            self.transport.abort()

    def _close(self) -> None:
        self.transport.close()
        self._watch()

    def _unread(self) -> int:
        """Bytes that the client's machine has not taken: ours, and on Linux those that the kernel still holds."""
        unread = self.transport.get_write_buffer_size()
        connection = self.transport.get_extra_info("socket")
        if sys.platform == "linux" and connection is not None and connection.fileno() >= 0:
            (queued,) = struct.unpack("i", fcntl.ioctl(connection.fileno(), termios.TIOCOUTQ, bytes(4)))
            unread += queued
        return unread
