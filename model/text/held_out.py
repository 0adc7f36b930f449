"""Which characters of a text are kept out of training, and what is left to train on. Knows nothing of training.

"end" keeps the text's end out. "spread" keeps several zones out, one in the middle of each equal part of the text. A
zone is a block that is measured and a margin on either side of it that is neither measured nor trained on: what stands
beside a block is often nearly the same, such as the next name of a sorted list. Edges stand at ends of documents, lines
or words where there are any close by. All of it follows from the text alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import chain, pairwise

import numpy as np

from model.arrays import Int64s2D, Unsigneds
from model.errors import CorpusError
from model.text.encoding import EncodedCorpus
from model.text.source import DOCUMENT_END

PLACES = ("spread", "end")
MAX_ZONES = 10
ZONE_CHARS = 40  # of a zone, at least, where there is more than one
MARGIN = 256  # characters, at most; of a small zone a tenth
ENDS = (DOCUMENT_END, "\n", " ")  # where to cut, the best first

Spans = tuple[tuple[int, int], ...]  # [start, end) each, in the order of the text


@dataclass(frozen=True)
class Split:
    """Every character of a text stands in exactly one stretch that is trained on, margin or block.

    zones: what is kept out of training. blocks: what is measured, one in each zone.
    """

    length: int
    zones: Spans = ()
    blocks: Spans = ()

    @property
    def stretches(self) -> Spans:
        edges = (0, *chain.from_iterable(self.zones), self.length)
        return tuple((start, end) for start, end in list(pairwise(edges))[::2] if start < end)

    @property
    def training_chars(self) -> int:
        return self.length - _chars(self.zones)

    @property
    def validation_chars(self) -> int:
        return _chars(self.blocks)

    @property
    def margin_chars(self) -> int:
        return _chars(self.zones) - _chars(self.blocks)


class Joined:
    """Stretches of a text one behind the other, to be read by place. Nothing is copied: the text may lie on disk."""

    def __init__(self, indices: Unsigneds, stretches: Spans) -> None:
        lengths = [end - start for start, end in stretches]
        self._begins = np.cumsum([0, *lengths[:-1]])  # of each stretch among the joined
        self._shifts = np.array([start for start, _ in stretches]) - self._begins
        self._indices, self._length = indices, sum(lengths)

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, places: Int64s2D) -> Unsigneds:
        found: Unsigneds = self._indices[places + self._shifts[np.searchsorted(self._begins, places, "right") - 1]]
        return found


def split(corpus: EncodedCorpus, fraction: float, place: str) -> Split:
    """Keeps about `fraction` (0 … 0.5) of a text out of training. Raises CorpusError where that is no character."""
    length = len(corpus.indices)
    kept_out = round(length * fraction)
    if not fraction:
        return Split(length)
    if not kept_out:
        raise CorpusError(f"validation_fraction {fraction} of {length} characters is none of them")
    if place == "end":
        zones: Spans = ((length - kept_out, length),)
        return Split(length, zones, zones)
    after = [corpus.vocabulary.characters.index(end) for end in ENDS if end in corpus.vocabulary.characters]
    return _spread(corpus.indices, kept_out, after)


def training_text(indices: Unsigneds, parts: Split) -> Unsigneds | Joined:
    """What is trained on: a view where it is one stretch."""
    if len(parts.stretches) == 1:
        ((start, end),) = parts.stretches
        return indices[start:end]
    return Joined(indices, parts.stretches)


def _spread(indices: Unsigneds, kept_out: int, after: list[int]) -> Split:
    length = len(indices)
    count = max(1, min(MAX_ZONES, kept_out // ZONE_CHARS))
    zones, blocks = [], []
    for i in range(count):
        begin, end = length * i // count, length * (i + 1) // count
        size = kept_out * (i + 1) // count - kept_out * i // count
        start = begin + (end - begin - size + 1) // 2
        zone, block = _zone(indices, start, start + size, after)
        zones.append(zone)
        blocks.append(block)
    return Split(length, tuple(zones), tuple(blocks))


def _zone(indices: Unsigneds, start: int, end: int, after: list[int]) -> tuple[tuple[int, int], tuple[int, int]]:
    """A zone near start … end, and the block in it.

    Each edge moves by at most a fifth of the size. A margin takes at most a third of what is then the zone, so that
    at least a third is left.
    """
    fifth, margin = (end - start) // 5, min(MARGIN, (end - start) // 10)
    start = _cut(indices, start, start - fifth, start + fifth, after)
    end = _cut(indices, end, end - fifth, end + fifth, after)
    if not margin:
        return (start, end), (start, end)
    least, most = (margin + 1) // 2, (end - start) // 3
    first = _cut(indices, start + margin, start + least, start + most, after)
    last = _cut(indices, end - margin, end - most, end - least, after)
    return (start, end), (first, last)


def _cut(indices: Unsigneds, wanted: int, low: int, high: int, after: list[int]) -> int:
    """The place in low … high nearest to `wanted` behind the first of `after` that stands there; `wanted` if none."""
    before = np.asarray(indices[low - 1 : high])
    for index in after:
        places = low + np.flatnonzero(before == index)
        if len(places):
            return int(places[np.abs(places - wanted).argmin()])
    return wanted


def _chars(spans: Spans) -> int:
    return sum(end - start for start, end in spans)
