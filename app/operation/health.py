"""For whoever keeps the service running: does it live, is it ready."""

from __future__ import annotations

from typing import Any, Literal

from fastapi import APIRouter, Response
from pydantic import BaseModel, Field

from app.serving.service import ServiceOf
from app.wire.json import dump
from app.wire.openapi import problem_responses

router = APIRouter(tags=["operation"])

RETRY_AFTER_S = "5"
_PROBE = (403, 413, 500, 503)  # of what may stand before a route: no key is asked for, and any name of the host will do


class Health(BaseModel):
    """The process lives."""

    status: Literal["ok"] = Field(description="Always `ok`.")


class Readiness(BaseModel):
    """Whether the service can answer, and which of its models do."""

    status: Literal["ready", "stopping", "not ready"] = Field(description="Whether it can.")
    models: list[str] = Field(description="The names of those that answer.")
    devices: dict[str, str] = Field(description="What each of these runs on.")
    problems: dict[str, str] = Field(description="Why others do not answer; '*': what is wrong with all of it.")


_READINESS = problem_responses(*_PROBE)
_READINESS[503]["model"] = Readiness
_READINESS[503]["description"] = "Not ready, or stopping."
_NO_KEY = {"security": list[Any]()}


@router.get(
    "/healthz",
    operation_id="get_health",
    summary="Whether the process lives",
    responses={200: {"model": Health, "description": "It lives."}, **problem_responses(*_PROBE)},
    openapi_extra=_NO_KEY,
)
async def process_lives() -> Response:
    """Says nothing of the models; `/readyz` does."""
    return Response(b'{"status":"ok"}', media_type="application/json")


@router.get(
    "/readyz",
    operation_id="get_readiness",
    summary="Whether the service is ready",
    responses={200: {"model": Readiness, "description": "It is ready."}, **_READINESS},
    openapi_extra=_NO_KEY,
)
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
