"""All settings, their bounds and their defaults. The environment is read here and nowhere else.

Every field is the environment variable `NEXTCHAR_` + its name in capitals. An empty variable means the same as none.
Long because each setting stands here once, with its bound and its description.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any, Literal

import limits
from pydantic import Field, SecretStr, ValidationError, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from app.addresses import DEFAULT_HOST, DEFAULT_PORT, addresses, is_link
from app.web_origin import check_host, check_origin, check_prefix
from model.errors import NextcharError
from model.versions import MODEL_NAME

PREFIX = "NEXTCHAR_"
MIN_KEY_CHARS = 16
# Where an empty variable was perhaps meant to close a door. What is said when it does not.
LEFT_OPEN = {
    "API_KEYS": "it names no key",
    "API_KEYS_FILE": "it names no file of keys",
    "SECRET": "a secret is drawn at start, and continuation tokens end with this process",
}
# What systemd says of the sockets that it hands over, beside their number and whose they are.
LISTEN_MORE = ("LISTEN_FDNAMES", "LISTEN_PIDFDID")
# Settings that had another name. The old one counts where the new one is not set.
OLD_NAMES = {"BACKEND": "ENGINE"}


class SettingsError(NextcharError):
    """An environment variable that cannot be used."""


class Settings(BaseSettings):
    model_config = SettingsConfigDict(
        env_prefix=PREFIX, env_ignore_empty=True, extra="forbid", frozen=True, hide_input_in_errors=True
    )

    host: str = Field(
        DEFAULT_HOST, description="Comma-separated addresses or names to listen on; `::` is all, IPv4's too."
    )
    port: int = Field(DEFAULT_PORT, ge=0, le=65535, description="Port to listen on; 0 takes a free one.")
    uds: Path | None = Field(None, description="Path of a Unix socket to listen on, in place of addresses and port.")
    root_path: str = Field(
        "", description="Path below which a proxy has it, like /nextchar, whether the proxy takes it off or not."
    )

    models_dir: Path = Field(Path("checkpoints"), description="Every folder in it that holds a checkpoint is a model.")
    default_model: str | None = Field(
        None,
        description="Answers when a request names no model; unset: the one that did before, else the only one loaded.",
    )
    device: Literal["auto", "cpu", "gpu"] = Field(
        "auto", description="Where models run; gpu ends the start where none can be used."
    )
    engine: Literal["auto", "mxnet", "onnxruntime"] = Field("auto", description="What runs them.")
    threads: int = Field(2, ge=1, le=256, description="CPU threads of one decoding step.")
    reload_s: float = Field(
        1.0, ge=0, le=3600, description="Longest wait before a changed model is seen; 0 never looks."
    )

    api_keys: Annotated[tuple[SecretStr, ...], NoDecode] = Field(
        (), description="Comma-separated keys of 16 characters or more; with none, every request is served."
    )
    api_keys_file: Path | None = Field(
        None, description="A file with one key per line, beside or instead of the above."
    )
    secret: SecretStr | None = Field(
        None, min_length=16, description="Signs continuation tokens; drawn at start if unset, so tokens end with it."
    )
    rate_limit: str = Field("", description='Requests per key, or per address without keys: "60/minute"; empty: none.')
    cors_origins: Annotated[tuple[str, ...], NoDecode] = Field(
        (), description="Comma-separated origins whose pages may call, beside the service's own."
    )
    allowed_hosts: Annotated[tuple[str, ...], NoDecode] = Field(
        (), description="Comma-separated names it goes by; empty: localhost on a loopback address, elsewhere any."
    )

    max_rows: int = Field(256, ge=1, le=65536, description="Continuations decoded at once, for each model.")
    max_queue: int = Field(
        1024, ge=1, le=1_000_000, description="Continuations waiting, for each model; an eighth is kept for newcomers."
    )
    max_answer_mb: int = Field(
        256, ge=1, le=1_048_576, description="Memory for all answers being made or read (MiB); one may take a quarter."
    )
    max_prefix_chars: int = Field(10_000, ge=1, le=10_000_000, description="Longest prefix, and longest text to score.")
    max_num_chars: int = Field(10_000, ge=1, le=10_000_000, description="Longest continuation.")
    max_body_bytes: int = Field(1_000_000, ge=1024, le=1_000_000_000, description="Largest request body.")
    state_cache_mb: int = Field(64, ge=0, le=65536, description="Memory for states of prefixes read before, per model.")

    request_timeout_s: float = Field(60.0, gt=0, le=86400, description="A request that takes longer is given up: 503.")
    head_timeout_s: float = Field(
        10.0,
        gt=0,
        le=3600,
        description="How long a new connection, or a request that has begun, may take to the end of its head.",
    )
    body_timeout_s: float = Field(
        10.0, gt=0, le=3600, description="In each such time a body must end, or bring 1,000 bytes per second: else 408."
    )
    keep_alive_s: float = Field(30.0, gt=0, le=3600, description="How long a connection may idle between requests.")
    write_timeout_s: float = Field(
        30.0, gt=0, le=3600, description="A client that takes no byte of its answer for so long is cut off."
    )
    max_connections: int = Field(1000, ge=1, le=1_000_000, description="Connections at once; more are answered 503.")
    stall_s: float = Field(10.0, gt=0, le=3600, description="A decoding step that takes longer makes /readyz say 503.")
    hang_s: float = Field(
        60.0,
        ge=0,
        le=86400,
        validate_default=False,
        description="A decoding step that takes longer ends the process, exit status 4; 0: never.",
    )
    drain_s: float = Field(30.0, ge=0, le=3600, description="How long open requests may take to finish at SIGTERM.")

    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="Least level that is logged.")
    log_format: Literal["auto", "json", "console"] = Field(
        "auto", description="auto: console on a terminal, else JSON."
    )

    @field_validator("api_keys", "cors_origins", "allowed_hosts", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        parts = tuple(part.strip() for part in value.split(",") if part.strip())
        if value and not parts:
            raise ValueError("is set and names nothing")
        return parts

    @field_validator("api_keys")
    @classmethod
    def _keys_are_long(cls, value: tuple[SecretStr, ...]) -> tuple[SecretStr, ...]:
        for number, key in enumerate(value, 1):
            if len(key.get_secret_value()) < MIN_KEY_CHARS:
                raise ValueError(f"key {number} of {len(value)} has fewer than {MIN_KEY_CHARS} characters")
        return value

    @field_validator("cors_origins")
    @classmethod
    def _are_origins(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(check_origin(origin) for origin in value)

    @field_validator("allowed_hosts")
    @classmethod
    def _are_names(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(check_host(name) for name in value)

    @field_validator("host")
    @classmethod
    def _is_an_address(cls, value: str) -> str:
        return ",".join(addresses(value))

    @field_validator("port", mode="before")
    @classmethod
    def _is_no_link(cls, value: object) -> object:
        return DEFAULT_PORT if isinstance(value, str) and is_link(f"{PREFIX}PORT", value) else value

    @field_validator("device", "engine", "log_level", "log_format", mode="before")
    @classmethod
    def _in_small_letters(cls, value: object) -> object:
        return value.strip().lower() if isinstance(value, str) else value

    @field_validator("hang_s")
    @classmethod
    def _is_more_than_a_stall(cls, value: float, others: ValidationInfo) -> float:
        stall_s = others.data.get("stall_s", 0.0)
        if 0 < value <= stall_s:
            raise ValueError(f"is not more than {PREFIX}STALL_S, {stall_s:g}, and not 0")
        return value

    @field_validator("uds", "models_dir", "api_keys_file")
    @classmethod
    def _from_home(cls, value: Path | None) -> Path | None:
        try:
            return value and value.expanduser()
        except RuntimeError as error:
            raise ValueError(f"~ leads nowhere: {error}") from error

    @field_validator("root_path")
    @classmethod
    def _is_a_prefix(cls, value: str) -> str:
        return check_prefix(value) if value else value

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
                rates = limits.parse_many(value)
            except ValueError:
                rates = []
            if len(rates) != 1 or rates[0].amount < 1:
                raise ValueError(f'{value!r} is not one rate of at least one request, like "60/minute"')
        return value

    def addresses(self) -> tuple[str, ...]:
        """What it listens on; nothing where that is a Unix socket."""
        return () if self.uds is not None else addresses(self.host)

    def hang_limit_s(self) -> float:
        """After which a step ends the process; 0: never. A longer stall lifts the default."""
        return max(self.hang_s, self.stall_s) if self.hang_s else 0.0

    def keys(self) -> tuple[SecretStr, ...]:
        """The API keys of both settings. Raises SettingsError where the file cannot be read or a key is too short."""
        if self.api_keys_file is None:
            return self.api_keys
        place = f"{PREFIX}API_KEYS_FILE: {self.api_keys_file}"
        try:
            lines = self.api_keys_file.read_text("utf-8-sig").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise SettingsError(f"{place} cannot be read ({error})") from error
        read = {number: line.strip() for number, line in enumerate(lines, 1) if line.strip() and line[0] != "#"}
        if not read:
            raise SettingsError(f"{place} holds no key; write one per line")
        for number, key in read.items():
            if len(key) < MIN_KEY_CHARS:
                raise SettingsError(f"{place}: line {number} has fewer than {MIN_KEY_CHARS} characters")
        return self.api_keys + tuple(SecretStr(key) for key in read.values())


def left_open() -> list[str]:
    """A sentence for each variable about keys that is set but empty."""
    return [f"{PREFIX}{name} is set but empty: {what}" for name, what in LEFT_OPEN.items() if _value(name) == ""]


def _value(name: str) -> str | None:
    return os.environ.get(PREFIX + name)


def service_links() -> list[str]:
    """Variables that Kubernetes or Docker set for a service called as this one is. They are no settings."""
    return sorted(name for name, value in os.environ.items() if name.startswith(PREFIX) and is_link(name, value))


def given_descriptors() -> int:
    """How many sockets systemd hands over (sd_listen_fds). Takes its variables away, so that no child believes them.

    Raises SettingsError where the number is none.
    """
    pid, count, *_ = [os.environ.pop(name, "") for name in ("LISTEN_PID", "LISTEN_FDS", *LISTEN_MORE)]
    if pid != str(os.getpid()):
        return 0
    if not (count.isascii() and count.isdigit()):
        raise SettingsError(f"LISTEN_FDS is {count!r}: it should be a number of descriptors")
    return int(count)


def from_environment() -> Settings:
    """Settings of this process. Raises SettingsError with a line for each variable that cannot be used."""
    known = {PREFIX + name for name in [*map(str.upper, Settings.model_fields), *OLD_NAMES]}
    problems = [
        f"{name}: there is no such setting"
        for name, value in os.environ.items()
        if name.startswith(PREFIX) and name not in known and not is_link(name, value)
    ]
    written = {new: old for old, new in OLD_NAMES.items() if _value(old) and not _value(new)}
    values: dict[str, Any] = {new.lower(): _value(old) for new, old in written.items()}
    try:
        settings = Settings(**values)
    except ValidationError as error:
        for item in error.errors(include_url=False, include_input=False, include_context=False):
            field = str(item["loc"][0]).upper()
            name = PREFIX + written.get(field, field)
            # A secret is named, never shown.
            value = "" if name in (PREFIX + "SECRET", PREFIX + "API_KEYS") else f" is {os.environ.get(name)!r}"
            problems.append(f"{name}{value}: {item['msg'].removeprefix('Value error, ')}")
        settings = None
    if problems or settings is None:
        raise SettingsError("\n".join(problems))
    return settings
