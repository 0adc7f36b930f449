"""What routes share: the settings, the registry and who keeps it, and the secret of one app."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request
from pydantic import SecretBytes

from app.serving.registry import Registry
from app.serving.watch import Watch
from app.settings import Settings


@dataclass
class Service:
    """`draining` once SIGTERM came: what is open goes on, nothing new is taken."""

    settings: Settings
    registry: Registry
    watch: Watch
    secret: SecretBytes
    draining: bool = False

    def begin_draining(self) -> None:
        self.draining = True


async def service_of(request: Request) -> Service:
    # async although it waits for nothing: the framework sends plain functions to a thread, at 0.2 ms each.
    service: Service = request.app.state.service
    return service


def caller_of(request: Request) -> str:
    """Who takes turns with others: the key the guard found, as it names it, else the address."""
    named: str | None = request.scope.get("nextchar.caller")
    return named or (request.client.host if request.client is not None else "")


ServiceOf = Annotated[Service, Depends(service_of)]
