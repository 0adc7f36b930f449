"""What was measured of the rows of a decoder and not collected yet: a slot in a table for each row that is measured.

Writing into it is one operation for all rows, and a slot stays where it is when other rows leave.
"""

from __future__ import annotations

import numpy as np

from model.arrays import Bools2D, Int64s, Int64s2D, Untyped
from model.decoding.measure import Measured, empty

NO_SLOT = -1


class MeasuredRows:
    """chars: most that a row holds before it must be collected."""

    def __init__(self, chars: int) -> None:
        self._chars = chars
        self._free: list[int] = []
        self._table = empty((0, chars), 0)

    def take(self, alternatives: int) -> int:
        """A slot that has room for so many alternatives of each character."""
        slots, _, had = self._table.alternatives.shape
        if not self._free or alternatives > had:
            more = 0 if self._free else max(slots, 4)
            grown = empty((slots + more, self._chars), max(alternatives, had))
            for new, old in zip(_arrays(grown, had), _arrays(self._table, had), strict=True):
                new[:slots] = old
            self._table = grown
            self._free += range(slots, slots + more)
        return self._free.pop()

    def give(self, slot: int) -> None:
        self._free.append(slot)

    def check(self, taken: list[int]) -> None:
        """taken: the slots of the rows that are there. Raises AssertionError."""
        slots = len(self._table.logprobs)
        assert sorted(self._free + taken) == list(range(slots)), "a slot is given twice, or to nobody"

    def store(self, slots: Int64s, at: Int64s2D, valid: Bools2D, found: Measured) -> None:
        """found: of K steps of M rows; value (k, m) goes to place at[k, m] of slots[m] where it is valid."""
        k, m = np.nonzero(valid)
        A = found.alternatives.shape[-1]
        for table, values in zip(_arrays(self._table, A), _arrays(found, A), strict=True):
            table[slots[m], at[k, m]] = values[k, m]

    def collect(self, slot: int, count: int, alternatives: int) -> Measured:
        """The first `count` of a slot, as arrays of their own."""
        return Measured(*(values[slot, :count].copy() for values in _arrays(self._table, alternatives)))


def _arrays(measured: Measured, alternatives: int) -> list[Untyped]:
    """Its five arrays, with so many alternatives only."""
    wide = (measured.alternatives[..., :alternatives], measured.alternative_logprobs[..., :alternatives])
    return [measured.logprobs, measured.ranks, measured.entropies, *wide]
