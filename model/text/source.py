"""What a person named as the text, and what reading it found. Knows nothing of files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from model.errors import CorpusError, show

ERRORS = ("strict", "replace")
JOINS = ("line", "document")  # what stands between two documents: a line end, or DOCUMENT_END after each
DOCUMENT_END = "␃"  # U+2403; one character, so that a model learns it as any other, and people see it
OPENING = 60  # characters of a text that people are shown as they were read


@dataclass(frozen=True)
class Source:
    """What is read and how: enough to read it again.

    - corpora: files, folders, zips, "-" for standard input, or embedded corpora by name; read in this order.
    - encoding: one that Python knows, or "auto" to take the guess.
    - errors: "strict", or "replace" for what does not decode.
    """

    corpora: tuple[str, ...]
    encoding: str = "utf-8"
    errors: str = "strict"
    join: str = "line"
    max_chars: int | None = None

    def __post_init__(self) -> None:
        for name, value, allowed in (("errors", self.errors, ERRORS), ("join", self.join, JOINS)):
            if value not in allowed:
                raise CorpusError(f"{name}: {show(value)} is not one of {', '.join(allowed)}")
        check_max_chars(self.max_chars)


def check_max_chars(max_chars: int | None) -> None:
    if max_chars is not None and max_chars < 1:
        raise CorpusError(f"max_chars: {max_chars} must be at least 1")


@dataclass(frozen=True)
class Reading:
    """What happened between the files and the text that is trained on.

    - documents: names in the order in which they were joined.
    - left_out: names, each with why.
    - opening: the first OPENING characters as they were read, before any rule.
    - marks: byte order marks that stood inside.
    - replaced: bytes that did not decode.
    - line_ends, capitals: how many the rules folded.
    - line_starts: how often lines begin with each character, as the rules leave it.
    """

    documents: tuple[str, ...] = ()
    left_out: tuple[tuple[str, str], ...] = ()
    encoding: str = "utf-8"
    opening: str = ""
    marks: int = 0
    replaced: int = 0
    line_ends: int = 0
    capitals: int = 0
    line_starts: Mapping[str, int] = field(default_factory=dict)
