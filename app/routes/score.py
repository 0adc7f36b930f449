"""`/score`: how likely the model finds a text, character by character."""

from __future__ import annotations

import math
from typing import Any

from fastapi import APIRouter, Request, Response

from app.answering import check_length, name_field, problem_of
from app.body_kind import FORM, JSON, kind_of
from app.errors import dump
from app.fields import from_form, from_json
from app.generation import SchedulerError, ScoreRequest
from app.schemas import ScoreAnswer, ScoreBody, problem_responses
from app.service import ServiceOf, caller_of
from app.waiting import until_gone
from model.errors import UnknownCharactersError
from model.scoring import Score

router = APIRouter(tags=["score"])

_SCHEMA = {"schema": {"$ref": "#/components/schemas/ScoreBody"}}


@router.post(
    "/score",
    responses={200: {"model": ScoreAnswer}, **problem_responses(400, 401, 403, 404, 413, 415, 422, 429, 503)},
    openapi_extra={"requestBody": {"required": True, "content": {JSON: _SCHEMA, FORM: _SCHEMA}}},
)
async def score_text(request: Request, service: ServiceOf) -> Response:
    """Log-probability, rank and entropy at each character but the first, which has nothing before it."""
    raw = await request.body()
    body = from_form(ScoreBody, raw) if kind_of(request) == FORM else from_json(ScoreBody, raw)
    served = service.registry.get(body.model)
    check_length("text", len(body.text), service.settings.max_prefix_chars, "characters")
    try:
        text, indices = served.lm.prepare(body.text, body.unknown, field="text")
    except UnknownCharactersError as error:
        raise name_field(error, "text") from error
    try:
        scored = ScoreRequest(indices, timeout_s=service.settings.request_timeout_s, caller=caller_of(request))
        generation = served.scheduler.submit_score(scored)
    except SchedulerError as error:
        raise problem_of(error) from error
    score = Score(text, await until_gone(request, generation))
    m = score.measured
    values = zip(text[1:], m.logprobs.tolist(), m.ranks.tolist(), m.entropies.tolist(), strict=True)
    answer: dict[str, Any] = {
        "text": text,
        "model": served.name,
        "characters": [
            {"character": c, "logprob": logprob, "rank": rank + 1, "entropy": max(entropy, 0.0)}
            for c, logprob, rank, entropy in values
        ],
        "total": score.total,
        "mean": score.mean,
        "perplexity": score.perplexity,
        "bits_per_char": max(score.bits_per_char, 0.0) if math.isfinite(score.bits_per_char) else None,
    }
    return Response(dump(answer), media_type="application/json")
