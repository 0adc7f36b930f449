"""For whoever keeps the service running: does it live, is it ready."""

from __future__ import annotations

from typing import Literal

from fastapi import APIRouter, Response
from pydantic import BaseModel, Field

from app.serving.service import ServiceOf
from app.wire.json import dump
from app.wire.openapi import problem_responses

router = APIRouter(tags=["operation"])

RETRY_AFTER_S = "5"
_PROBE = (403, 500, 503)  # of what may stand before a route: no key is asked for, and any name of the host will do


class Health(BaseModel):
    status: Literal["ok"]


class Readiness(BaseModel):
    """Models by name."""

    status: Literal["ready", "stopping", "not ready"]
    models: list[str] = Field(description="Those that answer.")
    devices: dict[str, str] = Field(description="What each of these runs on.")
    problems: dict[str, str] = Field(description="Why others do not answer; '*': what is wrong with all of it.")


_READINESS = problem_responses(*_PROBE)
_READINESS[503]["model"] = Readiness
_READINESS[503]["description"] = "Not ready, or stopping; as a problem: too many connections."


@router.get("/healthz", responses={200: {"model": Health}, **problem_responses(*_PROBE)})
async def process_lives() -> Response:
    return Response(b'{"status":"ok"}', media_type="application/json")


@router.get("/readyz", responses={200: {"model": Readiness}, **_READINESS})
async def ready(service: ServiceOf) -> Response:
    """200 when the default model (any, where there is no default) answers: it took a decoding step and does not hang.

    The body names the device that each model which answers really runs on, and every model that does not serve, with
    the reason; one of them does not make the others unready.
    """
    registry = service.registry
    problems = {name: problem for name in registry.names() if (problem := registry.problem(name)) is not None}
    able: dict[str, str] = {}
    for served in registry.served():
        trouble = served.scheduler.problem(service.settings.stall_s)
        if trouble is None:
            able[served.name] = served.lm.engine.device
        else:
            problems[served.name] = trouble
    default = registry.default()
    is_ready = not service.draining and (default in able if default is not None else bool(able))
    status = "ready" if is_ready else "stopping" if service.draining else "not ready"
    if default is not None and default not in able and default not in problems:
        problems[default] = "is the default model and is not there"
    if registry.trouble is not None:
        problems["*"] = registry.trouble
    elif not registry.names():
        problems["*"] = "there is no model under the models directory"
    body = {"status": status, "models": list(able), "devices": able, "problems": problems}
    headers = {} if is_ready else {"Retry-After": RETRY_AFTER_S}
    return Response(dump(body), 200 if is_ready else 503, headers, "application/json")
