"""`/models`: what is loaded, what is not and why."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime, timezone
from typing import Any

from fastapi import APIRouter, Response
from pydantic import BaseModel, Field

from app.refusals import NoSuchModel
from app.serving.service import Service, ServiceOf
from app.wire.json import dump
from app.wire.openapi import EVERY_ROUTE, problem_responses
from model.errors import show
from model.versions import Version

router = APIRouter(tags=["models"])


class ModelCard(BaseModel):
    """What is not ready has no more than the first four of these, unless it was loaded once."""

    name: str
    default: bool
    ready: bool
    problem: str | None = Field(
        description="With `ready` true: the newest file does not verify, the one before serves."
    )
    digest: str | None = Field(None, description="SHA-256 of the weights.")
    config: dict[str, Any] | None = None
    training: dict[str, Any] | None = Field(None, description="What the training run wrote about itself.")
    engine: str | None = None
    device: str | None = None


class ModelCards(BaseModel):
    models: list[ModelCard]


class VersionCard(BaseModel):
    digest: str
    saved_at: str | None
    train_perplexity: float | None
    validation_perplexity: float | None
    problem: str | None


class ModelWithVersions(ModelCard):
    versions: list[VersionCard]


@router.get("/models", responses={200: {"model": ModelCards}, **problem_responses(*EVERY_ROUTE)})
async def list_models(service: ServiceOf) -> Response:
    """Every model under the models directory, by name."""
    models = [model_card(service, name) for name in service.registry.names()]
    return Response(dump({"models": models}), media_type="application/json")


@router.get("/models/{name}", responses={200: {"model": ModelWithVersions}, **problem_responses(404, *EVERY_ROUTE)})
async def one_model(service: ServiceOf, name: str) -> Response:
    """As in the list, and with the versions that `nextchar models restore` goes back to, the last one first."""
    if name not in service.registry.names():
        raise NoSuchModel(f"there is no {show(name)}")
    versions = [version_card(version) for version in service.registry.versions(name)]
    return Response(dump({**model_card(service, name), "versions": versions}), media_type="application/json")


def model_card(service: Service, name: str) -> dict[str, Any]:
    """`problem` with `ready` true: the newest file does not verify, and the weights before it still serve."""
    registry = service.registry
    served = registry.find(name)
    problem = registry.problem(name)
    about: dict[str, Any] = {"name": name, "default": name == registry.default(), "ready": False, "problem": problem}
    if served is None:
        return about
    trouble = served.scheduler.problem(service.settings.stall_s)
    checkpoint = served.lm.checkpoint
    return {
        **about,
        "ready": trouble is None,
        "problem": problem or trouble,
        "digest": checkpoint.digest,
        "config": {**asdict(checkpoint.config), **asdict(checkpoint.rules)},
        "training": checkpoint.training,
        "engine": served.lm.engine.name,
        "device": served.lm.engine.device,
    }


def version_card(version: Version) -> dict[str, Any]:
    return {
        "digest": version.digest,
        "saved_at": _moment(version.saved_at),
        "train_perplexity": version.train_perplexity,
        "validation_perplexity": version.validation_perplexity,
        "problem": version.problem,
    }


def _moment(seconds: float) -> str | None:
    try:
        return datetime.fromtimestamp(seconds, timezone.utc).isoformat(timespec="seconds")
    except (ValueError, OverflowError, OSError):  # what a file or a record says may lie outside the calendar
        return None
