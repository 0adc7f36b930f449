"""What a signal does: the first drains, a second ends the process at once. Knows nothing of what is served.

SIGHUP drains too: a terminal was closed, or a supervisor means "stop" by it. It never is the second signal, since it
comes in pairs and behind a SIGTERM (a terminal and its shell both send it; systemd's SendSIGHUP=). A process that was
started to ignore it, as by `nohup`, goes on doing so.

At the first signal the service says that it is stopping, and what is open may finish. At the limit what is still open
is failed, and has LAST_WORDS_S for its last bytes. Then the process ends, whatever a client or a thread still does.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import threading
from collections.abc import Awaitable, Callable
from typing import cast

import structlog
import uvicorn

from app.server.listening import Listening, cannot, url_of
from app.server.protocol import Protocol

log = structlog.get_logger()

REFUSE_S = 0.5  # how long the port stays open at least, so that a balancer sees "not ready" before connections fail
LAST_WORDS_S = 1.0
CLEAN_UP_S = 2.0  # for threads, once every client has its answer


class GracefulServer(uvicorn.Server):
    """begin: says that the service is stopping. end: fails what is open.

    drain_s: how long what is open may take.
    """

    def __init__(
        self,
        config: uvicorn.Config,
        listening: Listening,
        *,
        drain_s: float,
        begin: Callable[[], None],
        end: Callable[[], Awaitable[None]],
    ) -> None:
        super().__init__(config)
        self._listening = listening
        self._drain_s = drain_s
        self._begin = begin
        self._end = end
        self._drain: asyncio.Task[None] | None = None

    async def serve(self, sockets: list[socket.socket] | None = None) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:
                loop.add_signal_handler(number, self._stop, number)
        await self._serve(self._listening.sockets)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listens once the app is ready. Raises ListenError where another process was faster."""
        await super().startup([])  # the app alone
        loop = asyncio.get_running_loop()
        try:
            for bound in self._listening.sockets:
                bound.listen(self.config.backlog)  # here, because uvloop says nothing where it cannot
        except OSError as error:
            await self.lifespan.shutdown()
            raise cannot(url_of(bound), error) from error
        for bound in self._listening.sockets:
            self.servers.append(await loop.create_server(self._protocol, sock=bound, backlog=self.config.backlog))
            log.info("serving", url=url_of(bound))

    def _protocol(self) -> asyncio.Protocol:
        """Of a new connection."""
        make: Callable[..., asyncio.Protocol] = self.config.http_protocol_class
        return make(config=self.config, server_state=self.server_state, app_state=self.lifespan.state)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Closes the port and every connection, waits for nobody, then ends what the app holds."""
        for server in self.servers:
            server.close()
        for connection in self._connections():
            connection.transport.abort()
        if self.server_state.tasks:  # they see that their client is gone
            await asyncio.wait(self.server_state.tasks, timeout=LAST_WORDS_S)
        await self.lifespan.shutdown()

    def _stop(self, number: int) -> None:
        if self._drain is not None:
            if number != signal.SIGHUP:
                log.warning("stopping at once")
                self._exit()
            return
        log.info("stopping", open_requests=len(self.server_state.tasks))
        self._begin()
        self._drain = asyncio.get_running_loop().create_task(self._drain_then_exit())
        # A thread that hangs in a model's code or in a file system would keep the interpreter from ending.
        last = threading.Timer(self._drain_s + LAST_WORDS_S + CLEAN_UP_S, self._exit)
        last.daemon = True
        last.start()

    def _exit(self) -> None:
        self._listening.remove()
        os._exit(0)

    async def _drain_then_exit(self) -> None:
        for connection in self._connections():
            connection.refuse_unfinished(503, "the server is stopping")
        await asyncio.sleep(min(REFUSE_S, self._drain_s))
        await self._until_idle(self._drain_s - REFUSE_S)
        if self._busy():
            log.warning("stopping with requests open", open_requests=len(self.server_state.tasks))
            ending = asyncio.ensure_future(self._end())
            await self._until_idle(LAST_WORDS_S)
            await ending
        self.should_exit = True

    async def _until_idle(self, timeout_s: float) -> None:
        loop = asyncio.get_running_loop()
        until = loop.time() + timeout_s
        while self._busy() and loop.time() < until:
            await asyncio.sleep(0.02)

    def _busy(self) -> bool:
        """Whether a request is open or a client has not taken its answer yet."""
        return bool(self.server_state.tasks) or any(c.is_writing() for c in self._connections())

    def _connections(self) -> list[Protocol]:
        return cast("list[Protocol]", list(self.server_state.connections))
