"""What commands write to: streams that may be closed or take ASCII alone, and terminals, which obey what they get."""

from __future__ import annotations

import codecs
import contextlib
import io
import json
import os
import re
import sys
from typing import Any

import typer

# Control characters but for tab and line feed, and those that turn the direction of what follows.
_OBEYED = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")


class Program(typer.Typer):
    """A command, or several, that also run where standard streams or the working directory are not as usual."""

    def __call__(self, *args: Any, **options: Any) -> Any:
        for number, name in enumerate(("stdin", "stdout", "stderr")):
            _prepare(number, name)
        try:
            os.getcwd()
        except OSError as error:
            sys.exit(f"the working directory is gone ({error.strerror}): start from one that is there")
        try:
            return super().__call__(*args, **options)
        except MemoryError:
            sys.exit("not enough memory")
        except OSError as error:
            if error.filename is not None:
                sys.exit(f"{error.filename}: {error.strerror}")
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # for what is still to be flushed
            sys.exit(f"the output cannot be written ({error.strerror})")


class Unfailing(io.TextIOBase):
    """A standard stream that nothing depends on: what it cannot take is dropped, and so is all that follows.

    A pipe may be closed by whoever reads it, and a disk may be full.
    """

    def __init__(self, name: str) -> None:
        self._name = name

    def write(self, text: str) -> int:
        try:
            self._stream.write(text)
        except (OSError, ValueError):
            self._drop()
        return len(text)

    def flush(self) -> None:
        try:
            self._stream.flush()
        except (OSError, ValueError):
            self._drop()

    def isatty(self) -> bool:
        with contextlib.suppress(ValueError):  # of a stream that is closed
            return bool(self._stream.isatty())
        return False

    def fileno(self) -> int:
        return int(self._stream.fileno())

    @property
    def encoding(self) -> str:  # type: ignore[override]
        return getattr(self._stream, "encoding", None) or "utf-8"

    @property
    def _stream(self) -> Any:
        """While a bar is shown, rich puts a stream that writes to the console in place of the one behind it."""
        stream = getattr(sys, self._name)
        return getattr(stream, "rich_proxied_file", stream)

    def _drop(self) -> None:
        """What the stream still holds is written out when the process ends, and would fail again."""
        with contextlib.suppress(OSError, ValueError):
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self._stream.fileno())
            os.close(nowhere)


def say(text: str) -> None:
    """A line on standard error."""
    print(text, file=Unfailing("stderr"), flush=True)


def _prepare(number: int, name: str) -> None:
    """A closed stream leads to /dev/null, so that no other file has its number. What one cannot encode is escaped."""
    try:
        os.fstat(number)
    except OSError:
        os.open(os.devnull, os.O_RDWR)  # takes the lowest number that is free, which is this one
    stream = getattr(sys, name)
    if stream is None:
        setattr(sys, name, open(os.devnull, "w" if number else "r"))  # noqa: SIM115
    elif number and isinstance(stream, io.TextIOWrapper) and _may_refuse(stream):
        stream.reconfigure(errors="backslashreplace")


def _may_refuse(stream: io.TextIOWrapper) -> bool:
    return stream.errors == "strict" or not _takes_any_character(stream)


def _takes_any_character(stream: Any) -> bool:
    return codecs.lookup(getattr(stream, "encoding", None) or "utf-8").name.startswith("utf")


def json_line(value: Any) -> str:
    """One line of JSON, in ASCII where standard output does not take any character."""
    return json.dumps(value, ensure_ascii=not _takes_any_character(sys.stdout))


def escaped(text: str) -> str:
    r"""The text with each character that a terminal obeys written as JSON does, `\u001b`.

    What a model learned can set a terminal's title and colours, or move its cursor over what stands there.
    """
    return _OBEYED.sub(lambda found: f"\\u{ord(found[0]):04x}", text)
