"""From a result to the body of an answer, beside the schema of that body."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field
from typing_extensions import TypeAliasType

from app.native import tokens as state_token
from app.scheduling.requests import Result, Written
from app.serving.question import Question
from app.wire.long_json import Long
from app.wire.schemas import Absent
from model.decoding.measure import Measured, part_of

FinishReason = TypeAliasType(
    "FinishReason",
    Annotated[
        Literal["length", "stop", "end"],
        Field(
            description="`length`: as many characters as were asked for, or as `end` allows at most; `stop`: a stop "
            "string is complete; `end`: the text came to such a place as `end` names."
        ),
    ],
)
_LOGPROBS = "One for each character that was written; absent where `logprobs` was not asked for."
_MODEL = "The name of the model that answered."


class Timing(BaseModel):
    """How long it took."""

    queue_ms: float = Field(description="From arrival to the first step, in milliseconds.")
    decode_ms: float = Field(description="From there to the last character, in milliseconds.")
    chars_per_second: float = Field(description="Characters written in that time, those of all continuations together.")


class Alternative(BaseModel):
    """A character that the model might have written there."""

    character: str = Field(description="The character.")
    logprob: float = Field(description="Natural logarithm of its probability, before temperature.")


class CharacterLogprob(BaseModel):
    """How likely the model found a character that was written."""

    character: str = Field(description="The character.")
    logprob: float = Field(description="Natural logarithm of its probability, before temperature.")
    alternatives: list[Alternative] = Field(
        description="The likeliest characters there, the likeliest first, as many as were asked for."
    )


class Choice(BaseModel):
    """One continuation."""

    text: str = Field(description="The prefix as the model read it, and what was written.")
    generated: str = Field(description="What was written.")
    finish_reason: FinishReason = Field(description="Why it ended.")
    seed: int | None = Field(description="Gives the same text again; null where it was greedy.")
    logprobs: list[CharacterLogprob] | Absent = Field(None, description=_LOGPROBS)
    state: str | Absent = Field(
        None, description="A token that goes on from here; absent where `return_state` was not asked for."
    )


class GenerateAnswer(Choice):
    """What was written. The first continuation is the answer itself."""

    prefix: str = Field(description="The prefix as the model read it.")
    model: str = Field(description=_MODEL)
    timing: Timing = Field(description="How long it took, all continuations together.")
    unmatchable_stops: list[str] | Absent = Field(
        None,
        description="Those of `stop` with a character that this model never writes; absent where there are none.",
    )
    choices: list[Choice] | Absent = Field(
        None, description="All continuations, the first one too; absent where `n` is 1."
    )


class GenerateChunk(BaseModel):
    """What was written since the chunk before, in a stream."""

    text: str = Field(description="The characters.")
    index: int = Field(description="Of which continuation, from 0.")
    logprobs: list[CharacterLogprob] | Absent = Field(None, description=_LOGPROBS)


class CharacterScore(BaseModel):
    """How likely the model found one character of a text."""

    character: str = Field(description="The character.")
    logprob: float = Field(description="Natural logarithm of its probability.")
    rank: int = Field(description="Its place among all characters by probability; 1 where it was the likeliest.")
    entropy: float = Field(description="Of the model's distribution there, in nats.")


class ScoreAnswer(BaseModel):
    """How likely the model found a text. The first character has nothing before it: it is read, not scored."""

    text: str = Field(description="The text as the model read it.")
    model: str = Field(description=_MODEL)
    characters: list[CharacterScore] = Field(description="One for each character but the first.")
    total: float = Field(description="Log-probability of the text after its first character, in nats.")
    mean: float = Field(description="Of each scored character, in nats; 0 where there is none.")
    perplexity: float = Field(description="Between how many characters the model wavered on average.")
    bits_per_char: float = Field(description="What each scored character costs, in bits.")


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
