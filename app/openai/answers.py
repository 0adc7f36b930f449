"""OpenAI's objects, beside their schemas."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field
from typing_extensions import TypeAliasType

from app.openai.fields import CompletionBody
from app.openai.prompts import Prompt
from app.scheduling.requests import Result
from app.serving.registry import Served
from app.wire.long_json import Long
from app.wire.schemas import Absent
from model.decoding.measure import Measured, joined, part_of

CompletionFinishReason = TypeAliasType(
    "CompletionFinishReason",
    Annotated[
        Literal["length", "stop"],
        Field(description="`length`: as many characters as were asked for; `stop`: a stop string is complete."),
    ],
)


def choices_of(
    number: int, prompt: Prompt, score: Measured | None, result: Result | None, body: CompletionBody, served: Served
) -> list[dict[str, Any]]:
    characters = served.lm.vocabulary.characters
    echoed = prompt.text if body.echo else ""
    n = body.n
    before = [] if score is None else [score]
    if result is None:
        logprobs = logprobs_body(characters, echoed, before) if before else None
        return [choice_object(echoed, number * n + i, logprobs, "length") for i in range(n)]
    choices = []
    for choice in result.choices:
        text = echoed + choice.text
        measured = [*before, choice.measured] if choice.measured is not None else before
        offset = len(prompt.text) - len(echoed)
        logprobs = logprobs_body(characters, text, measured, offset) if measured else None
        choices.append(choice_object(text, number * n + choice.index, logprobs, choice.finish_reason))
    return choices


def choice_object(text: str, index: int, logprobs: dict[str, Any] | None, finish_reason: str | None) -> dict[str, Any]:
    return {"text": text, "index": index, "logprobs": logprobs, "finish_reason": finish_reason}


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


class LogprobsBody(BaseModel):
    """How likely the model found each character, as OpenAI's legacy completions report it."""

    tokens: list[str] = Field(description="The characters.")
    token_logprobs: list[float | None] = Field(
        description="Natural logarithm of the probability of each; null for the first one of an echoed prompt."
    )
    top_logprobs: list[dict[str, float] | None] = Field(
        description="The likeliest characters at each place; null for the first one of an echoed prompt."
    )
    text_offset: list[int] = Field(description="Where each stands, from the beginning of the prompt.")


class ChunkChoice(BaseModel):
    """A part of one continuation, in a stream."""

    text: str = Field(description="The characters.")
    index: int = Field(description="Of which continuation, from 0; those of the first prompt come first.")
    logprobs: LogprobsBody | None = Field(description="Null where `logprobs` was not asked for.")
    finish_reason: CompletionFinishReason | None = Field(description="Why it ended; null where it goes on.")


class CompletionChoice(ChunkChoice):
    """One continuation."""

    text: str = Field(description="What was written, behind its prompt with `echo`.")
    finish_reason: CompletionFinishReason = Field(description="Why it ended.")


class Usage(BaseModel):
    """What was read and written, in characters."""

    prompt_tokens: int = Field(description="Read.")
    completion_tokens: int = Field(description="Written.")
    total_tokens: int = Field(description="Both.")


class _CompletionHead(BaseModel):
    id: str = Field(description="Names this answer.")
    object: Literal["text_completion"] = Field(description="Says what this is.")
    created: int = Field(description="When it was asked for, in seconds since 1970.")
    model: str = Field(description="The name of the model that answered.")
    unmatchable_stops: list[str] | Absent = Field(
        None, description="Those of `stop` with a character that this model never writes; absent where there are none."
    )


class Completion(_CompletionHead):
    """What was written."""

    choices: list[CompletionChoice] = Field(description="The continuations, those of the first prompt first.")
    usage: Usage = Field(description="What was read and written.")


class CompletionChunk(_CompletionHead):
    """What was written since the chunk before, in a stream."""

    choices: list[ChunkChoice] = Field(description="One part of one continuation; none beside the usage.")
    usage: Usage | None = Field(None, description="With `include_usage`: in the last chunk; null in those before.")


class ModelObject(BaseModel):
    """A model that answers."""

    id: str = Field(description="Its name.")
    object: Literal["model"] = Field(description="Says what this is.")
    created: int = Field(description="When it was loaded, in seconds since 1970.")
    owned_by: str = Field(description="Always `nextchar`.")


class ModelObjects(BaseModel):
    """The models that answer."""

    object: Literal["list"] = Field(description="Says what this is.")
    data: list[ModelObject] = Field(description="The models.")
