"""The characters that rows still have to read, all in one array, one row's after the other's.

What a row has read makes room for others when the array is full. Knows nothing of states or of what is written.
"""

from __future__ import annotations

import numpy as np

from model.arrays import Int64s, Int64s2D
from model.decoding.columns import Columns
from model.decoding.engine import CHOOSE


class Forced:
    """Works on three columns: a row's character t, of `forced_end`, stands at `offset` + t; `done` were read."""

    def __init__(self) -> None:
        self._pool = np.zeros(256, np.int64)
        self._end = 0

    def place(self, forced: Int64s, done: int, columns: Columns) -> int:
        """Copies what is left of a row's characters behind those of the others; returns the row's offset."""
        left = forced[done:]
        if self._end + len(left) > len(self._pool):
            self._make_room(len(left), columns)
        start = self._end
        self._pool[start : start + len(left)] = left
        self._end += len(left)
        return start - done

    def next(self, columns: Columns, steps: int) -> Int64s2D:
        """What the rows read at the next steps, (K, N); CHOOSE where they read what they wrote."""
        left = columns["forced_end"] - columns["done"]
        if left.max() <= 0:
            return np.full((steps, len(left)), CHOOSE, np.int64)
        k = np.arange(steps)[:, None]
        places = np.minimum(columns["offset"] + columns["done"] + k, len(self._pool) - 1)
        return np.where(k < left, self._pool[places], CHOOSE)

    def clear(self) -> None:
        """Once no row is there."""
        self._end = 0

    def check(self, columns: Columns) -> None:
        """That what each row has still to read is here, each in a place of its own. Raises AssertionError."""
        reading = columns["done"] < columns["forced_end"]
        starts = (columns["offset"] + columns["done"])[reading]
        ends = (columns["offset"] + columns["forced_end"])[reading]
        order = np.argsort(starts)
        bounds = np.stack([starts[order], ends[order]], axis=1).ravel()  # start, end, start, end …
        inside = np.concatenate([[0], bounds, [self._end]])
        assert (np.diff(inside) >= 0).all(), "two rows read the same characters, or some that are not there"
        assert columns.size or not self._end, "characters to be read are left behind by rows that are gone"

    def _make_room(self, more: int, columns: Columns) -> None:
        offset, done = columns["offset"], columns["done"]
        live = [self._pool[o + d : o + e] for o, d, e in zip(offset, done, columns["forced_end"], strict=True)]
        pool = np.zeros(max(len(self._pool), 2 * (sum(map(len, live)) + more)), np.int64)
        at = 0
        for row, part in enumerate(live):
            pool[at : at + len(part)] = part
            offset[row] = at - done[row]
            at += len(part)
        self._pool, self._end = pool, at
