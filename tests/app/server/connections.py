"""A connection without a socket: a protocol of the server's, driven a piece at a time, and what the app was handed."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import uvicorn
from uvicorn.server import ServerState


class FakeTransport(asyncio.Transport):
    """Keeps what is written. `unread` stands for bytes that the client does not take, `error` for a reset of its."""

    def __init__(self) -> None:
        super().__init__()
        self.written = b""
        self.unread = self.error = 0
        self.protocol: Any = None
        self.closing = self.aborted = False

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return {"peername": ("127.0.0.1", 5), "sockname": ("127.0.0.1", 6), "socket": self}.get(name, default)

    def getsockname(self) -> tuple[str, int]:
        return ("127.0.0.1", 6)

    def getpeername(self) -> tuple[str, int]:
        return ("127.0.0.1", 5)

    def fileno(self) -> int:
        return -1

    def getsockopt(self, level: int, option: int) -> int:
        assert (level, option) == (socket.SOL_SOCKET, socket.SO_ERROR)
        return self.error

    def write(self, data: Any) -> None:
        self.written += data

    def close(self) -> None:
        self.closing = True

    def abort(self) -> None:
        self.closing = self.aborted = True
        self.protocol.connection_lost(None)

    def is_closing(self) -> bool:
        return self.closing

    def is_aborted(self) -> bool:
        return self.aborted

    def get_write_buffer_size(self) -> int:
        return self.unread

    def pause_reading(self) -> None:
        pass

    def resume_reading(self) -> None:
        pass


@dataclass
class Connection:
    """`requests`: method, path, query, headers and body of each request that reached the app whole, in order."""

    make: Callable[..., Any]
    server_state: ServerState = field(default_factory=ServerState)
    requests: list[tuple[str, str, bytes, list[tuple[bytes, bytes]], bytes]] = field(default_factory=list)
    told: list[dict[str, Any]] = field(default_factory=list)  # messages that were not of a body
    clock: HandClock | None = None
    answering: asyncio.Event | None = None  # what the app waits for before it answers
    answer: bytes = b"ok"

    def __post_init__(self) -> None:
        config = uvicorn.Config(self._app, log_config=None, access_log=False, ws="none", lifespan="off")
        config.load()
        config.loaded_app = self._app
        self.transport = FakeTransport()
        self.protocol = self.make(
            config=config,
            server_state=self.server_state,
            app_state={},
            _loop=self.clock or asyncio.get_running_loop(),
        )
        self.transport.protocol = self.protocol
        self.protocol.connection_made(self.transport)

    async def _app(self, scope: Any, receive: Any, send: Any) -> None:
        headers, body, more = list(scope["headers"]), b"", True
        while more:
            message = await receive()
            if message["type"] != "http.request":
                self.told.append(message)
                body = str(message.get("status", "gone")).encode()
                break
            body, more = body + message["body"], message["more_body"]
        else:
            self.requests.append((scope["method"], scope["path"], scope["query_string"], headers, body))
        if self.answering is not None:
            await self.answering.wait()
        await send(
            {"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(self.answer))]}
        )
        await send({"type": "http.response.body", "body": self.answer})

    async def receive(self, data: bytes) -> None:
        """Hands over what arrived, then lets the app go on as far as it can."""
        if not self.transport.closing:
            self.protocol.data_received(data)
        await self.settle()

    async def half_close(self) -> None:
        """The client ends its sending."""
        if not self.protocol.eof_received():
            self.transport.close()
            self.protocol.connection_lost(None)
        await self.settle()

    async def settle(self) -> None:
        for _ in range(4 * (2 + len(self.protocol.pipeline))):
            await asyncio.sleep(0)


class HandClock:
    """An event loop's timers, moved by hand; tasks go to the loop that runs."""

    def __init__(self) -> None:
        self.now = 0.0
        self.timers: list[HandTimer] = []

    def time(self) -> float:
        return self.now

    def call_at(self, when: float, callback: Callable[[], None]) -> HandTimer:
        timer = HandTimer(when, callback, self)
        self.timers.append(timer)
        return timer

    def call_later(self, delay: float, callback: Callable[[], None]) -> HandTimer:
        return self.call_at(self.now + delay, callback)

    def create_task(self, coroutine: Any) -> asyncio.Task[Any]:
        return asyncio.get_running_loop().create_task(coroutine)

    def advance(self, seconds: float) -> None:
        until = self.now + seconds
        while self.timers and min(timer.due for timer in self.timers) <= until:
            timer = min(self.timers, key=lambda timer: timer.due)
            self.timers.remove(timer)
            self.now = timer.due
            timer.callback()
        self.now = until


@dataclass(eq=False)
class HandTimer:
    due: float
    callback: Callable[[], None]
    clock: HandClock

    def when(self) -> float:
        return self.due

    def cancel(self) -> None:
        if self in self.clock.timers:
            self.clock.timers.remove(self)
