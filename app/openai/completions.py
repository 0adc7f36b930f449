"""`/v1`: the official `openai` client works unchanged, completions streamed or whole."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

from fastapi import APIRouter, Path, Request, Response

from app.openai.answers import (
    Completion,
    CompletionChunk,
    CompletionHead,
    ModelObject,
    ModelObjects,
    choices_of,
    unmatchable_stops,
    usage,
)
from app.openai.fields import CompletionBody
from app.openai.prompts import prompts
from app.openai.stream import events
from app.scheduling.reply import Reply
from app.scheduling.requests import Result, ScoreRequest
from app.serving.question import submit, submit_score
from app.serving.registry import Served
from app.serving.service import ServiceOf, caller_of
from app.wire.bodies import fields_of
from app.wire.body_kind import JSON
from app.wire.disconnect import all_until_gone
from app.wire.event_stream import event_stream
from app.wire.json import dump
from app.wire.long_json import response
from app.wire.openapi import A_BODY, EVERY_ROUTE, OpenAIErrorBody, openai_responses, reference
from app.wire.openapi import events as declared_events
from app.wire.problems import ProblemError
from model.decoding.measure import Measured
from model.errors import show

router = APIRouter(prefix="/v1", tags=["openai"])

_COMPLETION: dict[int | str, dict[str, Any]] = {
    200: {
        "model": Completion,
        "content": declared_events(
            "Lines `data:` with a CompletionChunk each, and at the end `[DONE]`; where something goes wrong, "
            "the last one has an OpenAIErrorBody.",
            *(CompletionChunk, OpenAIErrorBody),
        ),
        "description": "The texts, or with `stream` their chunks.",
    },
    **openai_responses(404, *A_BODY, *EVERY_ROUTE),
}
_BODY = {
    "requestBody": {
        "description": "What to continue and how.",
        "required": True,
        "content": {JSON: {"schema": reference("CompletionBody")}},
    }
}


@router.get(
    "/models",
    operation_id="list_openai_models",
    summary="The models that answer",
    responses={200: {"model": ModelObjects, "description": "The models."}, **openai_responses(*EVERY_ROUTE)},
)
async def list_models(service: ServiceOf) -> Response:
    """Every model that is loaded, as OpenAI lists its own."""
    data = [model_object(served) for served in service.registry.served()]
    return Response(dump({"object": "list", "data": data}), media_type="application/json")


@router.get(
    "/models/{name}",
    operation_id="get_openai_model",
    summary="One model that answers",
    responses={200: {"model": ModelObject, "description": "The model."}, **openai_responses(404, *EVERY_ROUTE)},
)
async def one_model(service: ServiceOf, name: Annotated[str, Path(description="The model's name.")]) -> Response:
    """A model that is loaded, as OpenAI describes its own."""
    served = service.registry.find(name)
    if served is None:
        raise ProblemError(404, f"model: there is no {show(name)}", code="model_not_found")
    return Response(dump(model_object(served)), media_type="application/json")


def model_object(served: Served) -> dict[str, Any]:
    return {"id": served.name, "object": "model", "created": served.loaded_at, "owned_by": "nextchar"}


@router.post(
    "/completions",
    operation_id="create_completion",
    summary="Continue texts, as OpenAI's clients ask for it",
    responses=_COMPLETION,
    openapi_extra=_BODY,
)
async def complete(request: Request, service: ServiceOf) -> Response:
    """Continues prompts; tokens are characters. With echo and max_tokens 0 it scores them."""
    body = await fields_of(request, CompletionBody)
    served, caller = service.registry.get(body.model), caller_of(request)
    asked = prompts(body, served, service.settings, caller)
    head = CompletionHead.new(served.name)
    scoring: list[Reply[Measured]] = []
    writing: list[Reply[Result]] = []
    try:
        # All at once: they share batches, and one time limit.
        if body.echo and body.logprobs is not None:
            for prompt in asked:
                scored = ScoreRequest(prompt.indices, body.logprobs, service.settings.request_timeout_s, caller)
                scoring.append(submit_score(served, scored, service.settings, "prompt"))
        for question in [prompt.asked for prompt in asked if prompt.asked is not None]:
            writing.append(submit(question))
        measured = await all_until_gone(request, scoring)
        scores: Sequence[Measured | None] = measured or [None] * len(asked)
        if body.stream:
            running, writing = writing, []  # the stream's own now
            return event_stream(events(head, body, served, asked, scores, running), running)
        written = await all_until_gone(request, writing)
        results: Sequence[Result | None] = written or [None] * len(asked)
    finally:
        for given_up in (scoring, writing):
            for generation in given_up:
                generation.cancel()
    choices = []
    for number, (prompt, score, result) in enumerate(zip(asked, scores, results, strict=True)):
        choices += choices_of(number, prompt, score, result, body, served)
    return response(head.object(choices, usage=usage(asked, written), **unmatchable_stops(asked)))
