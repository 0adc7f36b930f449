"""The fields of requests and answers, their bounds and their documentation.

A query carries text, so there "10" is a number; in JSON it is not. One set of fields, validated leniently from a query
or a form and strictly from JSON. Bounds that settings move (lengths) are checked in `app.answering`. What a person
wrote is left out of a `repr` and of validation's own messages, which may end in a log.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, field_validator, model_validator

from model.sampling import MAX_SEED, MAX_TEMPERATURE, MAX_TOP_K, MIN_TEMPERATURE

MAX_STOPS, MAX_STOP_CHARS = 4, 100
MAX_N, MAX_LOGPROBS = 16, 20
MAX_INTEGER = 2**53

Stop = Annotated[str, StringConstraints(min_length=1, max_length=MAX_STOP_CHARS)]


class GenerateFields(BaseModel):
    """What to continue and how. Exactly one of `prefix` and `state`."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False, hide_input_in_errors=True)

    prefix: str | None = Field(
        None, repr=False, description="Text to continue, at least one character.", examples=["分开"]
    )
    num_chars: int = Field(100, ge=1, le=MAX_INTEGER, description="How many new characters to write.")
    temperature: float = Field(
        0.0, ge=0, le=MAX_TEMPERATURE, description=f"0 is greedy; else {MIN_TEMPERATURE} … {MAX_TEMPERATURE:g}."
    )
    top_k: int | None = Field(None, ge=1, le=MAX_TOP_K, description="Draw from the likeliest top_k only.")
    top_p: float = Field(1.0, gt=0, le=1, description="Draw from the fewest likeliest that together reach top_p.")
    seed: int | None = Field(
        None,
        ge=0,
        le=MAX_SEED,
        description="Makes sampling repeatable; drawn if not given. Beside `state`, what follows is drawn with it, "
        "not with the token's own.",
    )
    stop: list[Stop] = Field(
        [],
        max_length=MAX_STOPS,
        repr=False,
        description="The text ends before the first of these that is complete; of several complete at the same "
        "character, before the longest. Compared with what the model writes as they stand.",
    )
    n: int = Field(1, ge=1, le=MAX_N, description="How many continuations; each has a seed of its own.")
    logprobs: int | None = Field(
        None, ge=0, le=MAX_LOGPROBS, description="Report log-probabilities, with this many likeliest alternatives."
    )
    unknown: Literal["error", "skip"] = Field("error", description="What becomes of characters never seen in training.")
    model: str | None = Field(None, max_length=64, description="Which model answers; the default one if not given.")
    state: str | None = Field(
        None, max_length=MAX_INTEGER, repr=False, description="A continuation token: go on where it ended."
    )
    return_state: bool = Field(False, description="Return a continuation token.")
    stream: bool = Field(False, description="Answer with server-sent events.")

    @model_validator(mode="after")
    def _temperature_is_not_tiny(self) -> GenerateFields:
        if 0 < self.temperature < MIN_TEMPERATURE:
            raise ValueError(f"temperature: {self.temperature!r} is neither 0 (greedy) nor at least {MIN_TEMPERATURE}")
        return self


class GenerateQuery(GenerateFields):
    """The fields as query parameters, or as a form."""


class GenerateBody(GenerateFields):
    """The fields as a JSON body."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False, strict=True, hide_input_in_errors=True)

    @field_validator(
        "stop", mode="before", json_schema_input_type=Stop | Annotated[list[Stop], Field(max_length=MAX_STOPS)]
    )
    @classmethod
    def _one_is_a_list_of_one(cls, value: object) -> object:
        return [value] if isinstance(value, str) else value


class ScoreBody(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, hide_input_in_errors=True)

    text: str = Field(min_length=1, repr=False, description="Text to score.")
    model: str | None = Field(None, max_length=64)
    unknown: Literal["error", "skip"] = "error"


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


class FieldError(BaseModel):
    model_config = ConfigDict(extra="allow")

    field: str
    message: str


class Problem(BaseModel):
    """RFC 9457."""

    type: str
    title: str
    status: int
    detail: str
    errors: list[FieldError] | None = None


def problem_responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """What to declare in the OpenAPI document for a route that can answer these."""
    schema = {"$ref": "#/components/schemas/Problem"}
    described = {
        400: "Not a request that can be read",
        401: "No key, or a wrong one",
        403: "A page of an origin that may not call",
        404: "No such model",
        409: "A continuation token, or a Last-Event-ID, of other weights",
        413: "The body is too large",
        415: "A body of a kind that is not read",
        422: "A field is out of bounds, or a character is unknown",
        429: "Too many requests",
        503: "Not ready, or stopping",
    }
    return {
        status: {"description": described[status], "content": {"application/problem+json": {"schema": schema}}}
        for status in statuses
    }
