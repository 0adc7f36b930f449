"""What may be asked of `/v1/completions`, as OpenAI documents it; characters are counted where OpenAI counts tokens."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, field_validator, model_validator

from app.scheduling.requests import MAX_INTEGER, MAX_N, MAX_STOP_CHARS, MAX_STOPS
from model.sampling.options import MAX_SEED, MAX_TEMPERATURE, MIN_TEMPERATURE

MAX_PROMPTS = 64
MAX_LOGPROBS = 5
Stop = Annotated[str, StringConstraints(min_length=1, max_length=MAX_STOP_CHARS)]


class StreamOptions(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    include_usage: bool = False


class CompletionBody(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False, hide_input_in_errors=True)

    model: str = Field(max_length=64)
    prompt: str | Annotated[list[str], Field(min_length=1, max_length=MAX_PROMPTS)] = Field(repr=False)
    max_tokens: int | None = Field(16, ge=0, le=MAX_INTEGER, description="Characters to write.")
    temperature: float | None = Field(1.0, ge=0, le=MAX_TEMPERATURE)
    top_p: float | None = Field(1.0, gt=0, le=1)
    n: int | None = Field(1, ge=1, le=MAX_N)
    stream: bool | None = False
    stream_options: StreamOptions | None = None
    logprobs: int | None = Field(None, ge=0, le=MAX_LOGPROBS)
    echo: bool | None = False
    stop: Stop | Annotated[list[Stop], Field(max_length=MAX_STOPS)] | None = Field(None, repr=False)
    seed: int | None = Field(None, ge=0, le=MAX_SEED)
    presence_penalty: float | None = 0.0
    frequency_penalty: float | None = 0.0
    user: str | None = Field(None, repr=False)

    @field_validator("presence_penalty", "frequency_penalty")
    @classmethod
    def _no_penalties(cls, value: float | None) -> float | None:
        if value:
            raise ValueError("penalties are not supported by character models; leave it at 0")
        return value

    @model_validator(mode="after")
    def _check_together(self) -> CompletionBody:
        if self.temperature and self.temperature < MIN_TEMPERATURE:
            raise ValueError(f"temperature: {self.temperature!r} is neither 0 (greedy) nor at least {MIN_TEMPERATURE}")
        if self.stream_options is not None and not self.stream:
            raise ValueError("stream_options: is allowed with stream: true only")
        return self

    @property
    def prompts(self) -> list[str]:
        return [self.prompt] if isinstance(self.prompt, str) else self.prompt

    @property
    def stops(self) -> list[str]:
        return [self.stop] if isinstance(self.stop, str) else self.stop or []
