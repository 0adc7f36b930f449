"""`python -m app`: serves with the settings of the environment until SIGTERM or Ctrl-C.

A first signal makes the service not ready at once; open requests finish, new ones get 503, then the process exits 0.
Settings that cannot be used, a GPU among them that is not there, end the start with exit status 2, and an address that
cannot be listened on with 3, which may be another when it is tried again. A decode thread that hangs ends it with 4.
"""

from __future__ import annotations

import gc
import os
import sys

WRONG_SETTINGS, CANNOT_LISTEN, HANGS = 2, 3, 4

if __name__ == "__main__":
    gc.disable()  # until all is imported: looking for garbage among the modules takes a fourth of the start
    try:
        os.getcwd()
    except OSError as error:  # libraries end with a traceback then, some of them where they are imported
        print(f"the working directory is gone ({error.strerror}): start from one that is there", file=sys.stderr)
        sys.exit(WRONG_SETTINGS)

import faulthandler
from contextlib import closing
from functools import partial

import structlog
import uvicorn

from app.main import create_app
from app.middleware.forwarded import Forwarded
from app.operation.log import configure
from app.server.binding import given, on_addresses, on_path
from app.server.descriptors import connections_that_fit, open_standard_streams
from app.server.graceful import GracefulServer
from app.server.listening import ListenError, Listening
from app.server.protocol import Limits, Protocol
from app.serving.hang import HangWatch
from app.serving.service import Service
from app.settings import PREFIX, Settings, SettingsError, from_environment, given_descriptors, service_links
from app.wire.problem_types import type_and_title
from model.engines.choice import check
from model.errors import DeviceError, NextcharError

log = structlog.get_logger()

ON_THE_CPU = f"; to compute on the CPU, set {PREFIX}DEVICE=cpu (with Docker Compose, COMPOSE_PROFILES=cpu)"


def main() -> int:
    open_standard_streams()
    faulthandler.enable()  # MXNet's own signal handler would end a crash with no trace
    try:
        settings = from_environment()
        configure(settings.log_level, settings.log_format)
        check_device(settings)
        with closing(listen(settings)) as listening:
            return serve(settings, listening)
    except (NextcharError, ListenError) as error:
        print(error, file=sys.stderr)
        return CANNOT_LISTEN if isinstance(error, ListenError) else WRONG_SETTINGS


def listen(settings: Settings) -> Listening:
    """Sockets that systemd hands over go before a path, and a path before addresses."""
    if links := service_links():
        log.info("ignored: set for a service of that name (enableServiceLinks: false leaves them out)", variables=links)
    descriptors = given_descriptors()
    if descriptors:
        return given(descriptors)
    if settings.uds is not None:
        return on_path(settings.uds)
    return on_addresses(settings.addresses(), settings.port)


def serve(settings: Settings, listening: Listening) -> int:
    app = create_app(settings, listening.addresses() if listening.is_given else None)
    config = uvicorn.Config(
        app,
        log_config=None,
        access_log=False,
        server_header=False,
        http=partial(  # type: ignore[arg-type]
            Protocol, limits_of(settings), kind_of=partial(type_and_title, root_path=settings.root_path)
        ),
        ws="none",
        loop="uvloop",
        proxy_headers=False,
    )
    config.app = Forwarded(app, config.forwarded_allow_ips)  # type: ignore[arg-type]
    service: Service = app.state.service
    server = GracefulServer(
        config, listening, drain_s=settings.drain_s, begin=service.begin_draining, end=service.watch.stop
    )
    if limit_s := settings.hang_limit_s():
        HangWatch(service.registry, limit_s, partial(os._exit, HANGS), lambda: service.draining).start()
    gc.freeze()  # what is there now stays: a collection while requests are answered need not look at it
    gc.enable()
    server.run()
    return 0 if server.started else 1


def check_device(settings: Settings) -> None:
    """A GPU or an engine asked for by name must be there before anything is served, whatever models there are.

    Raises SettingsError where it is not.
    """
    if settings.device != "gpu" and settings.engine != "mxnet":
        return
    try:
        check("gpu" if settings.device == "gpu" else "cpu", settings.engine)
    except DeviceError as error:
        asked, instead = ("DEVICE is 'gpu'", ON_THE_CPU) if settings.device == "gpu" else ("ENGINE is 'mxnet'", "")
        raise SettingsError(f"{PREFIX}{asked}: {str(error).removeprefix('device: ')}{instead}") from error


def limits_of(settings: Settings) -> Limits:
    connections = connections_that_fit(settings.max_connections)
    if connections < settings.max_connections:
        log.warning("the limit of open files leaves fewer connections", connections=connections)
    return Limits(
        head_s=settings.head_timeout_s,
        body_s=settings.body_timeout_s,
        keep_alive_s=settings.keep_alive_s,
        write_s=settings.write_timeout_s,
        connections=connections,
    )


if __name__ == "__main__":
    sys.exit(main())
