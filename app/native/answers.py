"""From a result to the body of an answer, beside the schema of that body."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from pydantic import BaseModel, Field

from app.native import tokens as state_token
from app.scheduling.requests import Result, Written
from app.serving.question import Question
from app.wire.long_json import Long
from model.decoding.measure import Measured, part_of


class Timing(BaseModel):
    queue_ms: float
    decode_ms: float
    chars_per_second: float


class Alternative(BaseModel):
    character: str
    logprob: float


class CharacterLogprob(BaseModel):
    """Natural logarithm of the probability the model gave the character, before temperature; its likeliest rivals."""

    character: str
    logprob: float
    alternatives: list[Alternative]


class Choice(BaseModel):
    """One continuation. text = prefix as the model saw it + generated."""

    text: str
    generated: str
    finish_reason: Literal["length", "stop"]
    seed: int | None = Field(None, description="Gives the same text again; null where it was greedy.")
    logprobs: list[CharacterLogprob] | None = None
    state: str | None = None


class GenerateAnswer(Choice):
    prefix: str
    model: str
    timing: Timing
    unmatchable_stops: list[str] | None = Field(
        None,
        description="Those of `stop` with a character that this model never writes; absent where there are none.",
    )
    choices: list[Choice] | None = Field(None, description="All n continuations, where n > 1; the first is above too.")


class CharacterScore(BaseModel):
    character: str
    logprob: float = Field(description="Nats.")
    rank: int = Field(description="1 where it was the likeliest.")
    entropy: float = Field(description="Of the model's distribution there, in nats.")


class ScoreAnswer(BaseModel):
    """The first character has nothing before it: it is read, not scored."""

    text: str
    model: str
    characters: list[CharacterScore]
    total: float = Field(description="Log-probability of the text after its first character, nats.")
    mean: float = Field(description="Per scored character, nats.")
    perplexity: float
    bits_per_char: float


def answer(asked: Question, result: Result, secret: bytes) -> dict[str, Any]:
    """The body of `GenerateAnswer`, for `long_json`."""
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


def _choice(asked: Question, choice: Written, secret: bytes) -> dict[str, Any]:
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
    """The bodies of `CharacterLogprob` for the characters of a text."""

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
