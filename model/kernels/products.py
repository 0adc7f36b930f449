"""Products of whole batches on all cores, and what the products inside a recurrence read.

The right factor is packed tile by tile, DEPTH rows of it at a time, by the thread that uses it, so that it is read
from memory once and used out of the cache. Every sum runs over k in order whatever the number of threads, so the
same factors give the same bytes on any number of cores of one kind.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from model.arrays import Reals, Reals2D, Reals3D, Words, Words2D, Words3D
from model.kernels.bfloat16 import PAIR, pair
from model.kernels.contracted import contracted
from model.kernels.packing import VECTOR_BYTES, VECTORS, pack_columns, put_words, room_for, tile_width, words
from model.kernels.team import Team
from model.kernels.tile import add_tile

DEPTH = 256  # rows of the right factor that are packed at a time; an even number


class Products:
    """`operand` is the type of the words that are multiplied: the matrices' own, or PAIR, which rounds to bfloat16."""

    def __init__(self, team: Team, operand: npt.DTypeLike) -> None:
        self.team, self._operand = team, np.dtype(operand)
        self._wide = VECTORS * VECTOR_BYTES // self._operand.itemsize
        self._rooms: dict[tuple[Any, ...], Words] = {}

    def read_as(self, array: Reals3D) -> Words3D:
        """Where a recurrence reads `array` as a left factor: itself, or room for a rounded copy of its rows."""
        return array if array.dtype == self._operand else self.room(*array.shape)

    def room(self, *shape: int) -> Words:
        """Room for rows of shape[-1] numbers as a left factor."""
        return np.zeros((*shape[:-1], words(shape[-1], self._operand)), self._operand)

    def pack(self, W: Reals2D) -> Words:
        """W (K, M) as the right factor of `add_product`. The next matrix of its shape takes the same place."""
        K, M = W.shape
        depth = words(K, self._operand)
        P = self._room("packed", K, M, W.strides[0] < W.strides[1], size=lambda: room_for(depth, M, self._operand))
        self.team.share(M, lambda lo, hi: pack_columns(W, P, 0, K, lo, hi, depth, 0), grain=self._wide)
        return P

    def packed(self, T: int, N: int, M: int) -> Words:
        """Room for T steps of N rows of M numbers as a right factor, which `put_packed` fills."""
        return room_for(T * words(N, self._operand), M, self._operand)

    def dot(self, A: Reals2D, B: Reals2D, out: Reals2D) -> None:
        """out = A B. A (N, K) and B (K, M) may be transposed views; rows of `out` (N, M) are contiguous."""
        N, M = out.shape
        left, a_row, a_k = self._left(A)
        flat, c_row = _flat(out), out.strides[0] // out.itemsize

        def piece(first: int, count: int, lo: int, hi: int) -> None:
            P = np.empty(words(DEPTH, self._operand) * self._wide, self._operand)
            _product(left, first * a_row, a_row, a_k, B, P, lo, hi, flat, first * c_row, c_row, count)

        if self.team.threads * self._wide <= M:  # then no tile is packed twice
            self.team.share(M, lambda lo, hi: piece(0, N, lo, hi), grain=self._wide // VECTORS)
        else:
            self.team.share(N, lambda lo, hi: piece(lo, hi - lo, 0, M))

    def correlate(self, A: Reals3D, P: Words, out: Reals2D) -> None:
        """out = Aᵀ B summed over steps and rows, A (T, N, D), where P holds B (T, N, M) as `put_packed` left it."""
        T, N, D = A.shape
        K = T * words(N, self._operand)
        left: Words = A.reshape(-1)
        if self._operand == PAIR:
            rounded = self._room("left", K, D, size=lambda: np.zeros((K, D), PAIR))
            self.team.share(T, lambda lo, hi: _round_steps(A, rounded, lo, hi), grain=1)
            left = rounded.reshape(-1)
        flat, c_row = _flat(out), out.strides[0] // out.itemsize
        self.team.share(
            out.shape[1], lambda lo, hi: _packed_product(left, D, P, flat, c_row, lo, hi, K), grain=self._wide
        )

    def _left(self, A: Reals2D) -> tuple[Words, int, int]:
        """The left factor as flat words, with its strides between rows and between words of a row."""
        N, K = A.shape
        by_rows = A.strides[1] == A.itemsize
        if self._operand != PAIR:
            return _flat(A if by_rows else A.T), A.strides[0] // A.itemsize, A.strides[1] // A.itemsize
        half = words(K, PAIR)
        if by_rows:
            rounded = self._room("rows", N, half, size=lambda: np.zeros((N, half), PAIR))
            self.team.share(N, lambda lo, hi: _round_rows(A, rounded, lo, hi))
            return rounded.reshape(-1), half, 1
        rounded = self._room("columns", half, N, size=lambda: np.zeros((half, N), PAIR))
        self.team.share(half, lambda lo, hi: _round_steps(A.T[None, 2 * lo : 2 * hi], rounded[lo:hi], 0, 1))
        return rounded.reshape(-1), 1, N

    def _room(self, *key: Any, size: Callable[[], Words]) -> Words:
        """Room that is made once for each key."""
        if key not in self._rooms:
            self._rooms[key] = size()
        return self._rooms[key]


def _flat(array: Reals2D) -> Reals:
    """All memory from the array's first element to its last, rows of it contiguous, as one vector."""
    length = (array.shape[0] - 1) * (array.strides[0] // array.itemsize) + array.shape[1]
    return np.lib.stride_tricks.as_strided(array, (length,), (array.itemsize,))


@contracted
def _round_rows(A: Reals2D, rounded: Words2D, lo: int, hi: int) -> None:
    for n in range(lo, hi):
        put_words(A[n], rounded[n])


@contracted
def _round_steps(A: Reals3D, rounded: Words2D, lo: int, hi: int) -> None:
    """Pairs of rows of A (T, N, D), for steps lo … hi − 1; the last row of an odd N is paired with zeros."""
    N, D = A.shape[1:]
    half = (N + 1) // 2
    for t in range(lo, hi):
        for k in range(half):
            low, out = A[t, 2 * k], rounded[t * half + k]
            if 2 * k + 1 < N:
                high = A[t, 2 * k + 1]
                for j in range(D):
                    out[j] = pair(low[j], high[j])
            else:
                for j in range(D):
                    out[j] = pair(low[j], np.float32(0))


@contracted
def _packed_product(A: Words, D: int, P: Words, C: Reals, c_row: int, lo: int, hi: int, K: int) -> None:
    """C = Aᵀ B for columns lo … hi − 1; A is (K, D) words, P holds B."""
    lanes = VECTOR_BYTES // P.itemsize
    first = lo
    while first < hi:
        width = tile_width(hi - first, lanes)
        count = min(width, hi - first)
        for k in range(0, K, DEPTH):
            add_tile(
                A, k * D, 1, D, P, first * K + k * width, C, first, c_row, D, min(DEPTH, K - k), width, count, k == 0
            )  # fmt: skip
        first += width


@contracted
def _product(
    A: Words, a: int, a_row: int, a_k: int, B: Reals2D, P: Words, lo: int, hi: int, C: Reals, c: int, c_row: int, N: int
) -> None:  # fmt: skip
    """C = A B for N rows of A and columns lo … hi − 1. P is room for DEPTH rows of a wide tile."""
    lanes = VECTOR_BYTES // P.itemsize
    per_word = DEPTH * lanes * VECTORS // len(P)
    first = lo
    while first < hi:
        width = tile_width(hi - first, lanes)
        count = min(width, hi - first)
        for start in range(0, len(B), DEPTH):
            stop = min(start + DEPTH, len(B))
            K = (stop - start + per_word - 1) // per_word
            pack_columns(B, P, start, stop, first, first + count, K, first)
            add_tile(
                A, a + start // per_word * a_k, a_row, a_k, P, 0, C, c + first, c_row, N, K, width, count, start == 0
            )
        first += width
