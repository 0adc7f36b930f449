"""Prefixes as people give them: on the command line, or in a file, a line or a line of JSON each."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from model.errors import CorpusError, brief, show

_WRITTEN = {"n": "\n", "t": "\t", "\\": "\\"}


@dataclass(frozen=True)
class Prefix:
    """place: where it was given, for messages; "" where it is the only one."""

    text: str
    place: str = ""


def unescaped(text: str) -> str:
    r"""What a text of the command line means: `\n` is a line end, `\t` a tab, `\\` a backslash; another stays."""
    return re.sub(r"\\([nt\\])", lambda found: _WRITTEN[found[1]], text)


def from_arguments(texts: Sequence[str]) -> list[Prefix]:
    numbered = len(texts) > 1
    return [Prefix(unescaped(text), f"prefix {number}" if numbered else "") for number, text in enumerate(texts, 1)]


def from_file(path: str) -> list[Prefix]:
    """One for each line that is not blank. path: "-" for standard input.

    JSON where the name ends in `.jsonl` or the first line is an object with `prefix`: then each line is one, or a text.
    Raises CorpusError for what cannot be read, and OSError.
    """
    name = "standard input" if path == "-" else brief(path)
    try:
        whole = (sys.stdin.buffer.read() if path == "-" else Path(path).read_bytes()).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise CorpusError(f"{name}: is not UTF-8; save it as UTF-8") from error
    lines = [(number, line) for number, line in enumerate(re.split("\r\n|\r|\n", whole), 1) if line.strip()]
    as_json = path.endswith(".jsonl") or any(_is_object(line) for _, line in lines[:1])
    found = []
    for number, line in lines:
        text = _of_json(line) if as_json else line
        place = f"{name}, line {number}"
        if text is None:
            raise CorpusError(f'{place}: {show(line)} is neither an object with "prefix" nor a text in JSON')
        found.append(Prefix(text, place))
    return found


def _is_object(line: str) -> bool:
    return line.lstrip().startswith("{") and _of_json(line) is not None


def _of_json(line: str) -> str | None:
    try:
        value: Any = json.loads(line)
    except (ValueError, RecursionError):
        return None
    text = value.get("prefix") if isinstance(value, dict) else value
    return text if isinstance(text, str) else None
