"""All settings, their bounds and their defaults. The environment is read here and nowhere else.

Every field is the environment variable `NEXTCHAR_` + its name in capitals.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Literal

import limits
from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from model.errors import NextcharError
from model.versions import MODEL_NAME

PREFIX = "NEXTCHAR_"


class SettingsError(NextcharError):
    """An environment variable that cannot be used."""


class Settings(BaseSettings):
    model_config = SettingsConfigDict(env_prefix=PREFIX, extra="forbid", frozen=True, hide_input_in_errors=True)

    host: str = Field("127.0.0.1", description="Address to listen on.")
    port: int = Field(8000, ge=0, le=65535, description="Port to listen on; 0 takes a free one.")

    models_dir: Path = Field(Path("checkpoints"), description="Every folder in it that holds a checkpoint is a model.")
    default_model: str | None = Field(
        None, description="Answers when a request names no model; the only model where there is one."
    )
    device: Literal["auto", "cpu", "gpu"] = Field("auto", description="Where models run.")
    backend: Literal["auto", "mxnet", "onnxruntime"] = Field("auto", description="What runs them.")
    threads: int = Field(2, ge=1, le=256, description="CPU threads of one decoding step.")
    reload_s: float = Field(
        1.0, ge=0, le=3600, description="Longest wait before a changed model is seen; 0 never looks."
    )

    api_keys: Annotated[tuple[SecretStr, ...], NoDecode] = Field(
        (), description="Comma-separated keys; with none, every request is served."
    )
    api_keys_file: Path | None = Field(
        None, description="A file with one key per line, beside or instead of the above."
    )
    secret: SecretStr | None = Field(
        None, min_length=16, description="Signs continuation tokens; drawn at start if unset, so tokens end with it."
    )
    rate_limit: str = Field("", description='Requests per key, or per address without keys: "60/minute"; empty: none.')
    cors_origins: Annotated[tuple[str, ...], NoDecode] = Field(
        (), description="Comma-separated origins that browsers may call from."
    )

    max_rows: int = Field(256, ge=1, le=65536, description="Continuations decoded at once, for each model.")
    max_queue: int = Field(1024, ge=1, le=1_000_000, description="Continuations waiting, for each model.")
    max_prefix_chars: int = Field(10_000, ge=1, le=10_000_000, description="Longest prefix, and longest text to score.")
    max_num_chars: int = Field(10_000, ge=1, le=10_000_000, description="Longest continuation.")
    max_body_bytes: int = Field(1_000_000, ge=1024, le=1_000_000_000, description="Largest request body.")
    state_cache_mb: int = Field(64, ge=0, le=65536, description="Memory for states of prefixes read before, per model.")

    request_timeout_s: float = Field(60.0, gt=0, le=86400, description="A request that takes longer is given up: 503.")
    stall_s: float = Field(10.0, gt=0, le=3600, description="A decoding step that takes longer makes /readyz say 503.")
    drain_s: float = Field(30.0, ge=0, le=3600, description="How long open requests may take to finish at SIGTERM.")

    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="Least level that is logged.")
    log_format: Literal["auto", "json", "console"] = Field(
        "auto", description="auto: console on a terminal, else JSON."
    )

    @field_validator("api_keys", "cors_origins", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value

    @field_validator("default_model")
    @classmethod
    def _is_a_model_name(cls, value: str | None) -> str | None:
        if value is not None and not MODEL_NAME.fullmatch(value):
            raise ValueError(f"{value!r} is not a model's name ({MODEL_NAME.pattern})")
        return value

    @field_validator("rate_limit")
    @classmethod
    def _is_a_rate(cls, value: str) -> str:
        if value:
            try:
                limits.parse(value)
            except ValueError:
                raise ValueError(f'{value!r} is not a rate like "60/minute"') from None
        return value

    def keys(self) -> tuple[str, ...]:
        """The API keys of both settings. Raises SettingsError where the file cannot be read or holds none."""
        own = tuple(key.get_secret_value() for key in self.api_keys)
        if self.api_keys_file is None:
            return own
        try:
            lines = self.api_keys_file.read_text("utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise SettingsError(f"{PREFIX}API_KEYS_FILE: {self.api_keys_file} cannot be read ({error})") from error
        read = tuple(line.strip() for line in lines if line.strip() and not line.startswith("#"))
        if not read:
            raise SettingsError(f"{PREFIX}API_KEYS_FILE: {self.api_keys_file} holds no key; write one per line")
        return own + read


def from_environment() -> Settings:
    """Settings of this process. Raises SettingsError with a line for each variable that cannot be used."""
    known = {PREFIX + name.upper() for name in Settings.model_fields}
    problems = [
        f"{name}: there is no such setting" for name in os.environ if name.startswith(PREFIX) and name not in known
    ]
    try:
        settings = Settings()
    except ValidationError as error:
        for item in error.errors(include_url=False, include_input=False, include_context=False):
            name = PREFIX + str(item["loc"][0]).upper()
            # A secret is named, never shown.
            value = "" if name in (PREFIX + "SECRET", PREFIX + "API_KEYS") else f" is {os.environ.get(name)!r}"
            problems.append(f"{name}{value}: {item['msg'].removeprefix('Value error, ')}")
        settings = None
    if problems or settings is None:
        raise SettingsError("\n".join(problems))
    return settings
