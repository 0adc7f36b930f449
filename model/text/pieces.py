"""A text in pieces, each as if the whole had been read: where it can be cut, what the rules make of it, and what they
fold.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import replace

import numpy as np

from model.arrays import UInt32s
from model.errors import CorpusError
from model.text.normalisation import last_cut
from model.text.rules import TextRules
from model.text.source import DOCUMENT_END

UNCUT_CHARS = 32 * 2**20  # a text with no place to cut it in so many characters is refused


def cut(texts: Iterable[str], name: str) -> Iterator[str]:
    """The same text in pieces, each but the last ending where the rules can be applied apart.

    Raises CorpusError for a text without a place to cut it (see `normalisation.last_cut`) for too long.
    """
    kept: list[str] = []
    length, enough = 0, 0
    for text in texts:
        kept.append(text)
        length += len(text)
        if length < enough:
            continue
        whole = "".join(kept)
        at = last_cut(whole)
        if at:
            yield whole[:at]
        elif length > UNCUT_CHARS:
            raise CorpusError(
                f"{name}: has {length:,} characters without a place to cut it; they are combining marks, points or the "
                "like"
            )
        kept, length = [whole[at:]], length - at
        enough = 0 if at else 2 * length  # looking again at once would take time that grows with the square
    if length:
        yield "".join(kept)


class Folding:
    """Applies rules to a text and counts what they fold, up to `max_chars` of what they leave (None: all)."""

    def __init__(self, rules: TextRules, max_chars: int | None = None) -> None:
        self.line_ends = self.capitals = 0
        self.line_starts: Counter[str] = Counter()
        self._rules, self._left = rules, max_chars
        self._as_written = replace(rules, lowercase=False)
        self._starts = True  # whether the next character is a line's first

    def pieces(self, texts: Iterable[str]) -> Iterator[str]:
        """The text as the model sees it. `texts` are pieces of `cut`."""
        for raw in texts:
            written = self._as_written.with_line_ends(raw)
            text = self._rules.with_line_ends(written)[: self._left]
            if self._rules.lowercase:
                self.capitals += _capitals(written[: len(text)])
            if self._rules.newlines == "space":
                self.line_ends += text.count("\n")
            self._count_starts(text)
            if text:
                yield self._rules.fold_line_ends(text)
            if self._left is not None:
                self._left -= len(text)
                if not self._left:
                    return

    def _count_starts(self, text: str) -> None:
        first, *others = text.replace(DOCUMENT_END, "\n").split("\n")
        if self._starts and first:
            self.line_starts[first[0]] += 1
        self.line_starts.update(line[0] for line in others if line)
        self._starts = not others[-1] if others else self._starts and not first


def _capitals(text: str) -> int:
    """Characters that lower-casing changes."""
    text = text.replace("İ", "I")  # the only one that becomes two
    return int(np.count_nonzero(_codes(text) != _codes(text.lower())))


def _codes(text: str) -> UInt32s:
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), "<u4")
