"""Where written texts go: to standard output or to a file, as text or as lines of JSON, in the order asked for."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import TextIO

from model.errors import OptionError
from model.language_model import Generation, Piece
from nextchar.terminal import escaped, json_line

INTERRUPTED = "interrupted"  # finish_reason of a text that Ctrl-C ended


class Screen:
    """Standard output. What a terminal would obey is escaped."""

    def __init__(self, as_json: bool) -> None:
        self.as_json = as_json
        self._terminal = sys.stdout.isatty()

    def show(self, text: str) -> None:
        sys.stdout.write(escaped(text) if self._terminal else text)
        sys.stdout.flush()

    def write(self, generation: Generation) -> None:
        self.show((json_line(body(generation)) if self.as_json else generation.text) + "\n")


class File:
    """A file that is there once all is written, and what there is after Ctrl-C; until then it is called `….part`.

    Raises OptionError where one of the two is there already and `overwrite` is not set, and OSError.
    """

    def __init__(self, path: Path, as_json: bool, overwrite: bool) -> None:
        self._path, self._part = path, path.with_name(path.name + ".part")
        self._as_json = as_json or path.suffix == ".jsonl"
        for taken in (self._path, self._part):
            if not overwrite and taken.exists():
                raise OptionError("output", f"{taken} is there already; give another name, or --overwrite")
        if path.is_dir():
            raise OptionError("output", f"{path} is a folder; give the name of a file")
        self._stream: TextIO = self._part.open("w" if overwrite else "x", encoding="utf-8", newline="\n")
        self._written = 0

    def write(self, generation: Generation) -> None:
        line = json.dumps(body(generation), ensure_ascii=False) if self._as_json else generation.text
        self._stream.write(line + "\n")
        self._stream.flush()
        self._written += 1

    def __enter__(self) -> File:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: BaseException | TracebackType | None) -> None:
        self._stream.close()
        if not self._written:
            self._part.unlink()
            return
        complete = kind is None or issubclass(kind, KeyboardInterrupt)
        if complete:
            self._part.replace(self._path)
        there = self._path if complete else self._part
        print(f"{self._written} {'text' if self._written == 1 else 'texts'}: {there}", file=sys.stderr)


def body(generation: Generation) -> dict[str, object]:
    return {
        "text": generation.text,
        "prefix": generation.prefix,
        "generated": generation.generated,
        "seed": generation.seed,
        "finish_reason": generation.finish_reason,
    }


class InOrder:
    """Texts that are written side by side, passed on one after the other as each is done."""

    def __init__(self, write: Callable[[Generation], None]) -> None:
        self._write = write
        self._next = 0
        self._done: dict[int, Generation] = {}
        self._begun: dict[int, list[Piece]] = {}

    def take(self, piece: Piece) -> None:
        if piece.generation is None:
            self._begun.setdefault(piece.index, []).append(piece)
            return
        self._begun.pop(piece.index, None)
        self._done[piece.index] = piece.generation
        while self._next in self._done:
            self._write(self._done.pop(self._next))
            self._next += 1

    def interrupt(self) -> None:
        """Passes on what there is of the others."""
        for index, pieces in self._begun.items():
            text = "".join(piece.text for piece in pieces)
            self._done[index] = Generation(pieces[0].prefix, text, pieces[0].seed, INTERRUPTED)
        for index in sorted(self._done):
            self._write(self._done[index])
