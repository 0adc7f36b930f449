"""What may be asked of `/v1/completions`, as OpenAI documents it; characters are counted where OpenAI counts tokens."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, StringConstraints, field_validator, model_validator

from app.scheduling.requests import MAX_INTEGER, MAX_N, MAX_STOP_CHARS, MAX_STOPS
from app.wire.json_fields import JsonFields, list_of_one
from model.sampling.options import MAX_SEED, MAX_TEMPERATURE, MIN_TEMPERATURE

MAX_PROMPTS = 64
MAX_LOGPROBS = 5
Stop = Annotated[str, StringConstraints(min_length=1, max_length=MAX_STOP_CHARS)]


class StreamOptions(JsonFields):
    """What a stream has besides."""

    include_usage: bool = Field(False, description="Whether a chunk with the usage comes before the end.")


_NO_PENALTIES = "Not supported: 0 is all that it may be."


class CompletionBody(JsonFields):
    """What to continue and how, as OpenAI's clients say it."""

    model: str = Field(max_length=64, description="Which model answers.")
    prompt: list[str] = Field(
        min_length=1,
        max_length=MAX_PROMPTS,
        repr=False,
        description="The text to continue, or several. An empty one begins where a text begins.",
    )
    max_tokens: int = Field(
        16, ge=0, le=MAX_INTEGER, description="How many new characters to write; with 0 and `echo`, none."
    )
    temperature: float = Field(
        1.0, ge=0, le=MAX_TEMPERATURE, description=f"0 is greedy; else {MIN_TEMPERATURE} … {MAX_TEMPERATURE:g}."
    )
    top_p: float = Field(1.0, gt=0, le=1, description="Draw from the fewest likeliest that together reach top_p.")
    n: int = Field(1, ge=1, le=MAX_N, description="How many continuations of each prompt.")
    stream: bool = Field(False, description="Answer with server-sent events.")
    stream_options: StreamOptions | None = Field(None, description="With `stream` alone: what it has besides.")
    logprobs: int | None = Field(
        None, ge=0, le=MAX_LOGPROBS, description="Report log-probabilities, with this many likeliest alternatives."
    )
    echo: bool = Field(False, description="Whether each text begins with its prompt.")
    stop: list[Stop] = Field(
        [],
        max_length=MAX_STOPS,
        repr=False,
        description="The text ends before the first of these that is complete.",
    )
    seed: int | None = Field(None, ge=0, le=MAX_SEED, description="Makes sampling repeatable; drawn if not given.")
    presence_penalty: float = Field(0.0, description=_NO_PENALTIES)
    frequency_penalty: float = Field(0.0, description=_NO_PENALTIES)
    user: str | None = Field(None, repr=False, description="Taken and not used.")

    @field_validator(
        "prompt",
        mode="before",
        json_schema_input_type=str | Annotated[list[str], Field(min_length=1, max_length=MAX_PROMPTS)],
    )
    @classmethod
    def _one_prompt_is_a_list_of_one(cls, value: object) -> object:
        return list_of_one(value)

    @field_validator(
        "stop", mode="before", json_schema_input_type=Stop | Annotated[list[Stop], Field(max_length=MAX_STOPS)]
    )
    @classmethod
    def _one_stop_is_a_list_of_one(cls, value: object) -> object:
        return list_of_one(value)

    @field_validator("presence_penalty", "frequency_penalty")
    @classmethod
    def _no_penalties(cls, value: float) -> float:
        if value:
            raise ValueError("penalties are not supported by character models; leave it at 0")
        return value

    @model_validator(mode="after")
    def _check_together(self) -> CompletionBody:
        if 0 < self.temperature < MIN_TEMPERATURE:
            raise ValueError(f"temperature: {self.temperature!r} is neither 0 (greedy) nor at least {MIN_TEMPERATURE}")
        if self.stream_options is not None and not self.stream:
            raise ValueError("stream_options: is allowed with stream: true only")
        return self
