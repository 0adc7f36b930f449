"""OpenAI's completions over our scheduler: what to submit for a body, and the objects made of what comes back."""

from __future__ import annotations

import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from app.answering import Question, check_length, name_field, question
from app.errors import ProblemError
from app.openai_schemas import CompletionBody
from app.registry import Served
from app.schemas import GenerateFields
from app.settings import Settings
from model.errors import OptionError, UnknownCharactersError
from model.measure import Measured


@dataclass(frozen=True)
class Prompt:
    """One prompt as the model sees it; `asked` is None where nothing is to be written."""

    text: str
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
        seen, _ = served.lm.prepare(text, field="prompt")
    except UnknownCharactersError as error:
        raise name_field(error, "prompt") from error
    max_tokens = 16 if body.max_tokens is None else body.max_tokens
    if max_tokens == 0:
        return Prompt(seen, None)
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
        return Prompt(seen, question(fields, served, settings, secret, caller))
    except OptionError as error:
        field = {"prefix": "prompt", "num_chars": "max_tokens"}.get(error.field, error.field)
        raise ProblemError(422, str(error), errors=[{"field": field, "message": str(error)}]) from error


def logprobs_body(
    characters: Sequence[str], text: str, measured: Measured, offset: int = 0, first_unscored: bool = False
) -> dict[str, Any]:
    """OpenAI's object for a text. All of its characters were measured, or with `first_unscored` all but the first."""
    values: list[float | None] = measured.logprobs.tolist()
    alternatives = zip(measured.alternatives.tolist(), measured.alternative_logprobs.tolist(), strict=True)
    top: list[dict[str, float] | None] = [
        {characters[i]: value for i, value in zip(indices, logprobs, strict=True)} for indices, logprobs in alternatives
    ]
    if first_unscored:
        values, top = [None, *values], [None, *top]
    return {
        "tokens": list(text),
        "token_logprobs": values,
        "top_logprobs": top,
        "text_offset": list(range(offset, offset + len(text))),
    }


def joined(first: dict[str, Any], second: dict[str, Any]) -> dict[str, Any]:
    return {key: first[key] + second[key] for key in first}


def usage(prompt_chars: int, completion_chars: int) -> dict[str, int]:
    return {
        "prompt_tokens": prompt_chars,
        "completion_tokens": completion_chars,
        "total_tokens": prompt_chars + completion_chars,
    }
