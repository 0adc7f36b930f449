"""What may be asked of `/generate` and `/score`: the fields, their bounds and their documentation.

A query carries text, so there "10" is a number; in JSON it is not. One set of fields, validated leniently from a query
or a form and strictly from JSON. Bounds that settings move (lengths) are checked in `serving.question`. What a person
wrote is left out of a `repr` and of validation's own messages, which may end in a log.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, field_validator, model_validator
from typing_extensions import TypeAliasType

from app.scheduling.requests import MAX_INTEGER, MAX_LOGPROBS, MAX_N, MAX_STOP_CHARS, MAX_STOPS
from app.wire.json_fields import JsonFields, list_of_one
from model.sampling.options import MAX_SEED, MAX_TEMPERATURE, MAX_TOP_K, MIN_TEMPERATURE
from model.text.boundaries import MAX_BEYOND

Stop = Annotated[str, StringConstraints(min_length=1, max_length=MAX_STOP_CHARS)]
# A name of its own in the document: of a choice without one that may be null, generators make several classes.
OnUnknown = TypeAliasType(
    "OnUnknown",
    Annotated[
        Literal["error", "skip"],
        Field(description="Characters never seen in training: `error` refuses them, `skip` leaves them out."),
    ],
)
End = TypeAliasType(
    "End",
    Annotated[
        Literal["grapheme", "word", "line", "document"],
        Field(
            description="`grapheme`: after a character as people see it; `word`: at a boundary of words; `line`: "
            "before a line end; `document`: before the end of a document."
        ),
    ],
)
_MODEL = "Which model answers; the default one if not given."
_UNKNOWN = "What becomes of characters never seen in training."


class GenerateFields(BaseModel):
    """What to continue and how. Exactly one of `prefix` and `state`."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False, hide_input_in_errors=True)

    prefix: str | None = Field(
        None, repr=False, description="Text to continue; empty to begin where a text begins.", examples=["分开"]
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
    end: End | None = Field(
        None,
        description="The text ends at the first such place at or after num_chars, "
        f"or {MAX_BEYOND} characters beyond where there is none.",
    )
    n: int = Field(1, ge=1, le=MAX_N, description="How many continuations; each has a seed of its own.")
    logprobs: int | None = Field(
        None, ge=0, le=MAX_LOGPROBS, description="Report log-probabilities, with this many likeliest alternatives."
    )
    unknown: OnUnknown = Field("error", description=_UNKNOWN)
    model: str | None = Field(None, max_length=64, description=_MODEL)
    state: str | None = Field(
        None, max_length=MAX_INTEGER, repr=False, description="A continuation token: go on where it ended."
    )
    return_state: bool = Field(False, description="Return a continuation token.")
    stream: bool = Field(
        False, description="Answer with server-sent events. If not given, `Accept: text/event-stream` asks for them."
    )

    @model_validator(mode="after")
    def _temperature_is_not_tiny(self) -> GenerateFields:
        if 0 < self.temperature < MIN_TEMPERATURE:
            raise ValueError(f"temperature: {self.temperature!r} is neither 0 (greedy) nor at least {MIN_TEMPERATURE}")
        return self


class GenerateQuery(GenerateFields):
    """The fields as query parameters, or as a form."""


class GenerateBody(GenerateFields, JsonFields):
    """What to continue and how: exactly one of `prefix` and `state`."""

    @field_validator(
        "stop", mode="before", json_schema_input_type=Stop | Annotated[list[Stop], Field(max_length=MAX_STOPS)]
    )
    @classmethod
    def _one_is_a_list_of_one(cls, value: object) -> object:
        return list_of_one(value)


class ScoreBody(JsonFields):
    """What to score."""

    text: str = Field(min_length=1, repr=False, description="Text to score.")
    model: str | None = Field(None, max_length=64, description=_MODEL)
    unknown: OnUnknown = Field("error", description=_UNKNOWN)
