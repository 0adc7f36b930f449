"""Products of whole batches on all cores, and what the products inside a recurrence read; nothing is rounded here."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from model.training.bptt.packing import VECTOR_BYTES, VECTORS, pack_columns, room_for, words
from model.training.bptt.team import Team

Array = npt.NDArray[Any]


class Products:
    """`operand` is the type of the words that the products inside a recurrence read."""

    def __init__(self, team: Team, operand: Any) -> None:
        self.team, self._operand = team, np.dtype(operand)
        self._packed: dict[tuple[int, int, bool], Array] = {}

    def read_as(self, array: Array) -> Array:
        """Where a recurrence reads `array` as a left factor: itself, or room for a rounded copy of its rows."""
        return array

    def room(self, N: int, K: int) -> Array:
        """Room for N rows of K numbers as a left factor."""
        return np.zeros((N, words(K, self._operand)), self._operand)

    def pack(self, W: Array) -> Array:
        """W (K, M) as the right factor of `add_product`. The next matrix of its shape takes the same place."""
        K, M = W.shape
        depth, key = words(K, self._operand), (K, M, W.strides[0] < W.strides[1])
        if key not in self._packed:
            self._packed[key] = room_for(depth, M, self._operand)
        P, grain = self._packed[key], VECTORS * VECTOR_BYTES // self._operand.itemsize
        self.team.share(M, lambda lo, hi: pack_columns(W, P, 0, K, lo, hi, depth, 0), grain=grain)
        return P

    def packed(self, K: int, M: int) -> Array:
        """Room for a right factor of K words by M columns that `put_packed` fills; none where that does nothing."""
        return room_for(0, M, self._operand)

    def dot(self, A: Array, B: Array, out: Array) -> None:
        """out = A B. A (N, K) and B (K, M) may be transposed views; rows of `out` (N, M) are contiguous."""
        whole = out if out.flags.c_contiguous else np.empty_like(out)
        self.team.dot(A, B, whole)
        if whole is not out:
            out[:] = whole

    def correlate(self, A: Array, B: Array, P: Array, out: Array) -> None:
        """out = Aᵀ B summed over steps and rows, A (T, N, D), B (T, N, M), where P holds B as `put_packed` left it."""
        self.dot(A.reshape(-1, A.shape[2]).T, B.reshape(-1, B.shape[2]), out)
