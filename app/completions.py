"""OpenAI's completions over our scheduler: what to submit for a body, and the objects made of what comes back."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from app.answering import Question, check_length, name_field, question
from app.errors import ProblemError
from app.generation import Result
from app.long_json import Long
from app.openai_schemas import CompletionBody
from app.registry import Served
from app.schemas import GenerateFields
from app.settings import Settings
from model.engines.interface import Indices
from model.errors import OptionError, UnknownCharactersError
from model.measure import Measured, joined, part_of


@dataclass(frozen=True)
class Prompt:
    """One prompt as the model sees it; `asked` is None where nothing is to be written."""

    text: str = field(repr=False)
    indices: Indices = field(repr=False)
    asked: Question | None


@dataclass(frozen=True)
class CompletionHead:
    """What all objects of one answer begin with."""

    id: str
    created: int
    model: str

    @classmethod
    def new(cls, model: str) -> CompletionHead:
        return cls(f"cmpl-{uuid.uuid4().hex}", int(time.time()), model)

    def object(self, choices: list[dict[str, Any]], **more: Any) -> dict[str, Any]:
        head = {"id": self.id, "object": "text_completion", "created": self.created, "model": self.model}
        return {**head, "choices": choices, **more}


def prompts(body: CompletionBody, served: Served, settings: Settings, secret: bytes, caller: str = "") -> list[Prompt]:
    """Raises ProblemError naming OpenAI's fields."""
    check_length("max_tokens", body.max_tokens or 0, settings.max_num_chars)
    return [_prompt(text, body, served, settings, secret, caller) for text in body.prompts]


def _prompt(text: str, body: CompletionBody, served: Served, settings: Settings, secret: bytes, caller: str) -> Prompt:
    check_length("prompt", len(text), settings.max_prefix_chars, "characters")
    try:
        seen, indices = served.lm.prepare(text, field="prompt")
    except UnknownCharactersError as error:
        raise name_field(error, "prompt") from error
    max_tokens = 16 if body.max_tokens is None else body.max_tokens
    if max_tokens == 0:
        return Prompt(seen, indices, None)
    fields = GenerateFields(
        prefix=text,
        num_chars=max_tokens,
        temperature=1.0 if body.temperature is None else body.temperature,
        top_p=1.0 if body.top_p is None else body.top_p,
        n=body.n or 1,
        stop=body.stops,
        seed=body.seed,
        logprobs=body.logprobs,
        stream=bool(body.stream),
    )
    try:
        return Prompt(seen, indices, question(fields, served, settings, secret, caller, prepared=(seen, indices)))
    except OptionError as error:
        field = {"prefix": "prompt", "num_chars": "max_tokens"}.get(error.field, error.field)
        raise ProblemError(422, str(error), errors=[{"field": field, "message": str(error)}]) from error


def logprobs_body(characters: Sequence[str], text: str, parts: Sequence[Measured], offset: int = 0) -> dict[str, Any]:
    """OpenAI's object for a text, for `long_json`. parts: at least one; together they measured all of its characters,
    or all but the first: then that one has null."""
    unscored = len(text) - sum(len(part.logprobs) for part in parts)
    assert unscored in (0, 1)
    A = parts[0].alternatives.shape[1]

    def rows(start: int, stop: int) -> Measured:
        found = []
        for part in parts:
            found.append(part_of(part, max(start, 0), max(stop, 0)))
            start, stop = start - len(part.logprobs), stop - len(part.logprobs)
        return joined(found)

    def of_rows(values: Callable[[Measured], list[Any]]) -> Callable[[int, int], list[Any]]:
        return lambda start, stop: [None] * (unscored - start) + values(rows(start - unscored, stop - unscored))

    def top(measured: Measured) -> list[dict[str, float]]:
        alternatives = zip(measured.alternatives.tolist(), measured.alternative_logprobs.tolist(), strict=True)
        return [{characters[i]: value for i, value in zip(*both, strict=True)} for both in alternatives]

    return {
        "tokens": Long(len(text), lambda start, stop: list(text[start:stop])),
        "token_logprobs": Long(len(text), of_rows(lambda measured: measured.logprobs.tolist())),
        "top_logprobs": Long(len(text), of_rows(top), values_each=1 + A),
        "text_offset": Long(len(text), lambda start, stop: list(range(offset + start, offset + stop))),
    }


def unmatchable_stops(asked: Sequence[Prompt]) -> dict[str, Any]:
    """A field of ours beside OpenAI's, where there is something to say: all prompts have the same stop strings."""
    named = next((prompt.asked.unmatchable_stops for prompt in asked if prompt.asked is not None), ())
    return {"unmatchable_stops": named} if named else {}


def usage(asked: Sequence[Prompt], results: Sequence[Result]) -> dict[str, int]:
    read, written = sum(len(prompt.text) for prompt in asked), sum(result.chars_written for result in results)
    return {"prompt_tokens": read, "completion_tokens": written, "total_tokens": read + written}
