"""`/models`: what is loaded, what is not and why."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime, timezone
from typing import Annotated, Any

from fastapi import APIRouter, Path, Response
from pydantic import BaseModel, Field

from app.refusals import NoSuchModel
from app.serving.service import Service, ServiceOf
from app.wire.json import dump
from app.wire.openapi import EVERY_ROUTE, problem_responses
from app.wire.schemas import Absent
from model.errors import show
from model.versions import Version

router = APIRouter(tags=["models"])


class ModelCard(BaseModel):
    """A model. One that was never loaded has its first four fields alone."""

    name: str = Field(description="Its name, which is that of its folder.")
    default: bool = Field(description="Whether it answers where no model is named.")
    ready: bool = Field(description="Whether it answers.")
    problem: str | None = Field(
        description="Why it does not answer; null where nothing is wrong. With `ready` true: the newest file does not "
        "verify, the one before serves."
    )
    digest: str | Absent = Field(None, description="SHA-256 of the weights.")
    config: dict[str, Any] | Absent = Field(None, description="Its kind and its sizes, and how it reads a text.")
    training: dict[str, Any] | Absent = Field(None, description="What the training run wrote about itself.")
    engine: str | Absent = Field(None, description="What computes: `onnxruntime` or `mxnet`.")
    device: str | Absent = Field(None, description="What it computes on.")


class ModelCards(BaseModel):
    """All models."""

    models: list[ModelCard] = Field(description="The models, by name.")


class VersionCard(BaseModel):
    """A version that was replaced."""

    digest: str = Field(description="SHA-256 of the weights.")
    saved_at: str | None = Field(description="When it was saved, in UTC, as ISO 8601 has it; null where nothing says.")
    train_perplexity: float | None = Field(description="At the end of training; null where its file does not say.")
    validation_perplexity: float | None = Field(description="Of text not trained on; null where its file does not say.")
    problem: str | None = Field(description="Why it could not serve; null where nothing is wrong.")


class ModelWithVersions(ModelCard):
    """A model with the versions that were replaced."""

    versions: list[VersionCard] = Field(description="What `nextchar models restore` goes back to, the last one first.")


@router.get(
    "/models",
    operation_id="list_models",
    summary="All models",
    responses={
        200: {"model": ModelCards, "description": "The models, by name."},
        **problem_responses(*EVERY_ROUTE),
    },
)
async def list_models(service: ServiceOf) -> Response:
    """Every model under the models directory, those that do not answer too."""
    models = [model_card(service, name) for name in service.registry.names()]
    return Response(dump({"models": models}), media_type="application/json")


@router.get(
    "/models/{name}",
    operation_id="get_model",
    summary="One model, with its versions",
    responses={
        200: {"model": ModelWithVersions, "description": "The model."},
        **problem_responses(404, *EVERY_ROUTE),
    },
)
async def one_model(
    service: ServiceOf, name: Annotated[str, Path(description="The name of the model, which is that of its folder.")]
) -> Response:
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
