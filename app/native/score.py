"""`/score`: how likely the model finds a text, character by character."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request, Response

from app.native.answers import ScoreAnswer
from app.native.fields import ScoreBody
from app.scheduling.requests import ScoreRequest
from app.serving.question import bounded, submit_score
from app.serving.service import ServiceOf, caller_of
from app.wire.bodies import fields_of
from app.wire.body_kind import FORM, JSON
from app.wire.disconnect import until_gone
from app.wire.long_json import Long, response
from app.wire.openapi import A_BODY, EVERY_ROUTE, form_of, problem_responses, reference
from app.wire.problems import name_field
from model.decoding.measure import part_of
from model.decoding.scoring import Score
from model.errors import UnknownCharactersError

router = APIRouter(tags=["score"])

_BODY = {
    "requestBody": {
        "description": "The text, and what scores it.",
        "required": True,
        "content": {JSON: {"schema": reference("ScoreBody")}, FORM: {"schema": form_of("ScoreBody")}},
    }
}


@router.post(
    "/score",
    operation_id="score",
    summary="Score a text",
    responses={
        200: {"model": ScoreAnswer, "description": "How likely each character is, and all of them."},
        **problem_responses(404, *A_BODY, *EVERY_ROUTE),
    },
    openapi_extra=_BODY,
)
async def score_text(request: Request, service: ServiceOf) -> Response:
    """Log-probability, rank and entropy at each character but the first, which has nothing before it."""
    body = await fields_of(request, ScoreBody, ScoreBody)
    served = service.registry.get(body.model)
    bounded("text", len(body.text), service.settings.max_prefix_chars, "characters")
    try:
        text, indices = served.lm.prepare(body.text, body.unknown, field="text")
    except UnknownCharactersError as error:
        raise name_field(error, "text") from error
    scored = ScoreRequest(indices, timeout_s=service.settings.request_timeout_s, caller=caller_of(request))
    score = Score(text, await until_gone(request, submit_score(served, scored, service.settings, "text")))

    def characters(start: int, stop: int) -> list[dict[str, Any]]:
        m = part_of(score.measured, start, stop)
        values = zip(
            text[start + 1 : stop + 1], m.logprobs.tolist(), m.ranks.tolist(), m.entropies.tolist(), strict=True
        )
        return [
            {"character": c, "logprob": logprob, "rank": rank + 1, "entropy": entropy}
            for c, logprob, rank, entropy in values
        ]

    answer: dict[str, Any] = {
        "text": text,
        "model": served.name,
        "characters": Long(len(text) - 1, characters, values_each=4),
        "total": score.total,
        "mean": score.mean,
        "perplexity": score.perplexity,
        "bits_per_char": max(0.0, score.bits_per_char),  # in this order, which makes 0.0 of -0.0
    }
    return response(answer)
