"""From fields that passed their bounds to what the scheduler takes, and from its results to answers.

The one place that knows both sides, and long for that reason. Knows nothing of routes or of the wire.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from app import state_token
from app.answer_budget import SHARE, megabytes
from app.errors import ProblemError, field_problem
from app.generation import (
    Choice,
    DeadlineExceeded,
    GenerateRequest,
    Generation,
    QueueFull,
    Result,
    SchedulerError,
    ScoreRequest,
    StepFailed,
)
from app.long_json import Long
from app.registry import Served
from app.schemas import GenerateFields
from app.settings import Settings
from model.engines.interface import Indices
from model.errors import OptionError, UnknownCharactersError
from model.measure import Measured, part_of
from model.random_stream import draw_seed
from model.sampling import Sampling


@dataclass(frozen=True)
class Question:
    """A request that can be decoded. `prefix` is as the model sees it, and "" after a token.

    unmatchable_stops: those of the stop strings that this model cannot write.
    """

    served: Served
    request: GenerateRequest
    prefix: str = field(repr=False)
    unmatchable_stops: tuple[str, ...] = field(default=(), repr=False)


def question(
    fields: GenerateFields,
    served: Served,
    settings: Settings,
    secret: bytes,
    caller: str = "",
    drawn_seed: int | None = None,
    prepared: tuple[str, Indices] | None = None,
) -> Question:
    """drawn_seed: what was drawn when this was asked for the first time; None to draw one where one is needed.
    prepared: the prefix as the model sees it, and its indices, where the caller has them.

    Raises ProblemError and the model's errors for what this model or these settings do not allow."""
    if (fields.prefix is None) == (fields.state is None):
        both = fields.prefix is not None
        raise field_problem("prefix", "give either prefix or state, not both" if both else "is missing (or give state)")
    check_length("num_chars", fields.num_chars, settings.max_num_chars)
    lm = served.lm
    state, seed, prefix = None, fields.seed, ""
    indices = np.zeros(0, np.int64)
    if fields.state is not None:
        try:
            state, own_seed = state_token.read(fields.state, secret, lm.checkpoint.config, lm.checkpoint.digest)
        except state_token.OtherWeightsError as error:
            raise ProblemError(409, str(error), errors=[{"field": "state", "message": str(error)}]) from error
        seed = own_seed if seed is None else seed
    else:
        assert fields.prefix is not None
        check_length("prefix", len(fields.prefix), settings.max_prefix_chars, "characters")
        prefix, indices = prepared or lm.prepare(fields.prefix, fields.unknown)
    if fields.temperature > 0 and seed is None:
        seed = draw_seed() if drawn_seed is None else drawn_seed
    sampling = Sampling(fields.temperature, fields.top_k, fields.top_p, seed if fields.temperature > 0 else None)
    # The text rules are for what the model reads. A stop string is looked for in what it writes: "\n" made a space by
    # them would cut at the first space.
    stops = [stop for stop in fields.stop if lm.vocabulary.known(stop) == stop]
    request = GenerateRequest(
        prefix=indices,
        num_chars=fields.num_chars,
        sampling=sampling,
        n=fields.n,
        stop=tuple(stops),
        logprobs=fields.logprobs,
        state=state,
        return_state=fields.return_state,
        stream=fields.stream,
        timeout_s=settings.request_timeout_s,
        caller=caller,
    )
    check_size("num_chars", request, settings)
    return Question(served, request, prefix, tuple(stop for stop in fields.stop if stop not in stops))


def submit(asked: Question) -> Generation[Result]:
    """Hands the request to the model's scheduler. Raises ProblemError where it does not take it."""
    try:
        return asked.served.scheduler.submit(asked.request)
    except SchedulerError as error:
        raise problem_of(error) from error


def submit_score(served: Served, scored: ScoreRequest, settings: Settings, field: str) -> Generation[Measured]:
    """Hands the text of a field to the model's scheduler. Raises ProblemError where it does not take it."""
    check_size(field, scored, settings)
    try:
        return served.scheduler.submit_score(scored)
    except SchedulerError as error:
        raise problem_of(error) from error


def check_length(field: str, value: int, most: int, unit: str = "") -> None:
    if value > most:
        has = f"has {value} {unit}" if unit else str(value)
        raise field_problem(field, f"{has}; this server allows {most}")


def check_size(field: str, request: GenerateRequest | ScoreRequest, settings: Settings) -> None:
    """Raises OptionError where the answer alone would take more memory than one may."""
    size, most = request.answer_bytes, settings.max_answer_mb * 2**20 // SHARE
    if size <= most:
        return
    if isinstance(request, GenerateRequest):
        alternatives = "" if request.logprobs is None else f", with {request.logprobs} alternatives at each"
        what = f"{request.n} × {request.num_chars} characters{alternatives}"
    else:
        what = f"the scores of {len(request.indices)} characters, with {request.alternatives} alternatives at each"
    raise OptionError(
        field, f"{what}, may take {megabytes(size)} of memory; this server allows {megabytes(most)} for one answer"
    )


def problem_of(error: SchedulerError) -> ProblemError:
    """The answer to a request that the scheduler did not carry out."""
    if isinstance(error, QueueFull):
        return ProblemError(429, str(error), retry_after_s=error.retry_after_s, code="queue_full")
    if isinstance(error, StepFailed):
        return ProblemError(500, str(error))
    if isinstance(error, DeadlineExceeded):
        return ProblemError(503, str(error), retry_after_s=error.retry_after_s, code="timeout")
    return ProblemError(503, str(error), retry_after_s=error.retry_after_s or 1)


def answer(asked: Question, result: Result, secret: bytes) -> dict[str, Any]:
    """The body of `schemas.GenerateAnswer`, for `long_json`."""
    choices = [_choice(asked, choice, secret) for choice in result.choices]
    seconds = result.decode_ms / 1e3
    body = {
        **choices[0],
        "prefix": asked.prefix,
        "model": asked.served.name,
        "timing": {
            "queue_ms": round(result.queue_ms, 3),
            "decode_ms": round(result.decode_ms, 3),
            "chars_per_second": round(result.chars_written / seconds, 1) if seconds > 0 else 0.0,
        },
    }
    if asked.unmatchable_stops:
        body["unmatchable_stops"] = asked.unmatchable_stops
    return {**body, "choices": choices} if len(choices) > 1 else body


def _choice(asked: Question, choice: Choice, secret: bytes) -> dict[str, Any]:
    body: dict[str, Any] = {
        "text": asked.prefix + choice.text,
        "generated": choice.text,
        "finish_reason": choice.finish_reason,
        "seed": choice.seed,
    }
    if choice.measured is not None:
        body["logprobs"] = logprobs(asked.served.lm.vocabulary.characters, choice.text, choice.measured)
    if choice.state is not None:
        body["state"] = state_token.sign(choice.state, choice.seed, asked.served.lm.checkpoint.digest, secret)
    return body


def logprobs(characters: Sequence[str], text: str, measured: Measured) -> Long:
    """The bodies of `schemas.CharacterLogprob` for the characters of a text."""

    def part(start: int, stop: int) -> list[dict[str, Any]]:
        m = part_of(measured, start, stop)
        alternatives = zip(m.alternatives.tolist(), m.alternative_logprobs.tolist(), strict=True)
        return [
            {
                "character": character,
                "logprob": logprob,
                "alternatives": [
                    {"character": characters[i], "logprob": value} for i, value in zip(indices, values, strict=True)
                ],
            }
            for character, logprob, (indices, values) in zip(
                text[start:stop], m.logprobs.tolist(), alternatives, strict=True
            )
        ]

    return Long(len(text), part, values_each=1 + measured.alternatives.shape[1])


def name_field(error: UnknownCharactersError, field: str) -> ProblemError:
    """Unknown characters in another field than `prefix`."""
    unknown = [{"character": character, "positions": places[:1000]} for character, places in error.positions.items()]
    item = {"field": field, "message": str(error), "unknown": unknown[:1000]}
    return ProblemError(422, f"{field}: {error}", errors=[item], code="unknown_characters")
