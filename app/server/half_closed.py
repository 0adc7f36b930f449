"""What the end of a client's sending means. It ends the requests, not the answers: a client may close its sending side
and wait, which looks the same as one that has closed its socket and is gone.

The difference shows when something is sent: the machine of a client that is gone answers with a reset. So the first
bytes of the answer, which are the same for every answer, are sent ahead of it when it takes longer than LOOK_S.
"""

from __future__ import annotations

import asyncio
import socket
from typing import Any

import structlog
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

from app.server.reading import ReadingProtocol

log = structlog.get_logger()

LOOK_S = 0.5
BEGIN = b"HTTP/1.1 "


class HalfClosedProtocol(ReadingProtocol):
    """One connection, up to the last answer to a client that has ended its sending."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._look_timer: asyncio.TimerHandle | None = None

    def eof_received(self) -> bool:  # type: ignore[override]
        """Whether the connection stays open."""
        self._end_unfinished()
        waiting = [cycle for cycle in self._open if not cycle.disconnected]
        if not waiting or self.transport.is_closing():
            return False
        waiting[-1].keep_alive = False
        self._look_timer = self.loop.call_later(LOOK_S, self._look)
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        if self._look_timer is not None:
            self._look_timer.cancel()

    def _end_unfinished(self) -> None:
        """The request that will never be whole: the app is told that its client is gone, a head is answered."""
        if self._refusal is not None:
            return
        if self._in_body:
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        elif self._head_bytes:
            log.info("a client left within a request's head", client=self.client_name())
            self.refuse(400, "the connection's sending side was closed within the request's head")

    def _look(self) -> None:
        """Whether the client is gone. Nothing else tells: nobody reads any more, and writing may be far off."""
        connection = self.transport.get_extra_info("socket")
        if self.transport.is_closing():
            return
        if connection.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
            self.transport.abort()
            return
        cycle = self._open[0]
        if not cycle.response_started and not isinstance(cycle.transport, _Begun):
            self.transport.write(BEGIN)
            cycle.transport = _Begun(cycle)
        self._look_timer = self.loop.call_later(LOOK_S, self._look)


class _Begun(asyncio.Transport):
    """In place of a cycle's transport: leaves out what was sent ahead, and with that is no longer there."""

    def __init__(self, cycle: RequestResponseCycle) -> None:
        super().__init__()
        self._cycle = cycle
        self._transport = cycle.transport

    def write(self, data: Any) -> None:
        self._cycle.transport = self._transport
        self._transport.write(data.removeprefix(BEGIN))

    def close(self) -> None:
        self._transport.close()

    def is_closing(self) -> bool:
        return self._transport.is_closing()
