"""States of prefixes that were read before, so that a later prefix that begins with one need not read it again.

Least recently used first out, by bytes. What is resumed from a hit is bit-identical to reading from the start, because
a row's arithmetic does not depend on where its reading was cut. Not for several threads at once.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from dataclasses import dataclass

import numpy as np

from model.arrays import Int64s, UInt64s
from model.decoding.row import RowState
from model.kernels.compiled import compiled

_ENTRY_BYTES = 400  # of dictionaries, array headers and the entry itself
_FACTOR = np.uint64(0x9E3779B97F4A7C15)


@dataclass(frozen=True)
class _Entry:
    indices: Int64s
    state: RowState
    size: int  # bytes


class StateCache:
    """`size` is what it holds now, in bytes, and never above `capacity`."""

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.size = 0
        self._entries: OrderedDict[tuple[int, int], _Entry] = OrderedDict()  # by length and hash
        self._lengths: Counter[int] = Counter()

    def __len__(self) -> int:
        return len(self._entries)

    def put(self, indices: Int64s, state: RowState) -> None:
        """Keeps the state that reading exactly these characters leaves. What is too large alone is not kept."""
        size = indices.nbytes + sum(array.nbytes for array in state) + _ENTRY_BYTES
        if size > self.capacity or not len(indices):
            return
        key = (len(indices), int(_prefix_hashes(indices)[-1]))
        self._drop(key)
        while self.size + size > self.capacity:
            self._drop(next(iter(self._entries)))
        self._entries[key] = _Entry(indices.copy(), state, size)
        self._lengths[key[0]] += 1
        self.size += size

    def longest(self, indices: Int64s) -> tuple[int, RowState | None]:
        """How many of the characters, from the first on, need not be read, and the state after them; (0, None)."""
        hashes = _prefix_hashes(indices)
        for length in sorted((n for n in self._lengths if n <= len(indices)), reverse=True):
            key = (length, int(hashes[length - 1]))
            entry = self._entries.get(key)
            if entry is not None and np.array_equal(entry.indices, indices[:length]):  # hashes can meet
                self._entries.move_to_end(key)
                return length, entry.state
        return 0, None

    def clear(self) -> None:
        self._entries.clear()
        self._lengths.clear()
        self.size = 0

    def check(self, each: bool = False) -> None:
        """That what is counted is what is there. each: entry by entry, 0.1 s for 32,000. Raises AssertionError."""
        assert self.size <= self.capacity, "more is held than may be"
        assert self._lengths.total() == len(self._entries), "more or fewer lengths are counted than there are entries"
        assert bool(self.size) == bool(self._entries), "bytes are counted of nothing, or entries not at all"
        if each:
            size = sum(entry.size for entry in self._entries.values())
            assert self.size == size, f"{self.size} bytes are counted, and {size} are held"
            assert self._lengths == Counter(length for length, _ in self._entries), "lengths that no entry has"

    def _drop(self, key: tuple[int, int]) -> None:
        entry = self._entries.pop(key, None)
        if entry is None:
            return
        self.size -= entry.size
        self._lengths[key[0]] -= 1
        if not self._lengths[key[0]]:
            del self._lengths[key[0]]


@compiled
def _prefix_hashes(indices: Int64s) -> UInt64s:
    """A hash of each beginning of a sequence: entry j is of its first j + 1 indices."""
    hashes = np.empty(len(indices), np.uint64)
    value = np.uint64(1)
    for j in range(len(indices)):
        value = (value ^ np.uint64(indices[j])) * _FACTOR
        value ^= value >> np.uint64(29)
        hashes[j] = value
    return hashes
