"""`python -m app`: serves with the settings of the environment until SIGTERM or Ctrl-C.

A first signal makes the service not ready at once; open requests finish, new ones get 503, then the process exits 0.
"""

from __future__ import annotations

import asyncio
import contextlib
import faulthandler
import signal
import socket
import sys

import structlog
import uvicorn

from app import request_log
from app.main import create_app
from app.raw_urls import RawUrlProtocol
from app.service import Service
from app.settings import Settings, from_environment
from model.errors import NextcharError

log = structlog.get_logger()

REFUSE_S = 0.5  # how long the port stays open at least, so that a balancer sees "not ready" before connections fail


def main() -> int:
    faulthandler.enable()  # MXNet's own signal handler would end a crash with no trace
    try:
        settings = from_environment()
        request_log.configure(settings.log_level, settings.log_format)
        app = create_app(settings)
    except NextcharError as error:
        print(error, file=sys.stderr)
        return 2
    config = uvicorn.Config(
        app,
        host=settings.host,
        port=settings.port,
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_keep_alive=30,
        timeout_graceful_shutdown=int(settings.drain_s) + 1,
        http=RawUrlProtocol,
        loop="uvloop",
    )
    server = GracefulServer(config, settings, app.state.service)
    server.run()
    return 0 if server.started else 1


class GracefulServer(uvicorn.Server):
    """uvicorn closes its port at the first signal; this one first lets the service say that it is stopping."""

    def __init__(self, config: uvicorn.Config, settings: Settings, service: Service) -> None:
        super().__init__(config)
        self._settings = settings
        self._service = service
        self._drain: asyncio.Task[None] | None = None

    async def serve(self, sockets: list[socket.socket] | None = None) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self._stop)
        await self._serve(sockets)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            for bound in self.servers:
                for listening in bound.sockets:
                    host, port = listening.getsockname()[:2]
                    log.info("serving", url=f"http://{host}:{port}")

    def _stop(self) -> None:
        if self._service.draining:  # asked twice: at once
            self.force_exit = self.should_exit = True
            return
        log.info("stopping", open_requests=len(self.server_state.tasks))
        self._service.draining = True
        self._drain = asyncio.get_running_loop().create_task(self._drain_then_exit())

    async def _drain_then_exit(self) -> None:
        with contextlib.suppress(TimeoutError, asyncio.TimeoutError):
            await asyncio.wait_for(self._until_idle(), self._settings.drain_s)
        self.should_exit = True

    async def _until_idle(self) -> None:
        await asyncio.sleep(min(REFUSE_S, self._settings.drain_s))
        while self.server_state.tasks:
            await asyncio.sleep(0.02)


if __name__ == "__main__":
    sys.exit(main())
