"""The products of `products` in bfloat16: factors are rounded copies, sums are float32.

The right factor is packed tile by tile, DEPTH rows of it at a time, by the thread that uses it, so that it is read
from memory once and used out of the cache. Every sum runs over k in order whatever the number of threads, so the
same factors give the same bytes on any number of cores of one kind.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from model.training.bptt.bfloat16 import PAIR, pair
from model.training.bptt.packing import LANES, VECTORS, pack_columns, put_words, room_for, tile_width, words
from model.training.bptt.products import Products
from model.training.bptt.team import Team
from model.training.bptt.tile import add_tile
from model.training.compiled import compiled

Array = npt.NDArray[Any]
DEPTH = 256  # rows of the right factor that are packed at a time; an even number
WIDE = LANES * VECTORS


class RoundedProducts(Products):
    def __init__(self, team: Team) -> None:
        super().__init__(team, PAIR)
        self._rooms: dict[tuple[int, ...], Array] = {}

    def read_as(self, array: Array) -> Array:
        return np.zeros((*array.shape[:-1], words(array.shape[-1], PAIR)), PAIR)

    def packed(self, K: int, M: int) -> Array:
        return room_for(K, M, PAIR)

    def dot(self, A: Array, B: Array, out: Array) -> None:
        N, M = out.shape
        left, a_row, a_k = self._left(A)
        flat, c_row = _flat(out), out.strides[0] // out.itemsize

        def piece(first: int, count: int, lo: int, hi: int) -> None:
            P = np.empty(DEPTH // 2 * WIDE, PAIR)
            _product(left, first * a_row, a_row, a_k, B, P, lo, hi, flat, first * c_row, c_row, count)

        if N >= M:
            self.team.share(N, lambda lo, hi: piece(lo, hi - lo, 0, M))
        else:
            self.team.share(M, lambda lo, hi: piece(0, N, lo, hi), grain=WIDE)

    def correlate(self, A: Array, B: Array, P: Array, out: Array) -> None:
        T, N, D = A.shape
        half = words(N, PAIR)
        left = self._room(T * half, D)
        self.team.share(T, lambda lo, hi: _round_steps(A, left, lo, hi), grain=1)
        flat, c_row, words_of_A = _flat(out), out.strides[0] // out.itemsize, left.reshape(-1)
        self.team.share(
            out.shape[1],
            lambda lo, hi: _packed_product(words_of_A, D, P, flat, c_row, lo, hi, T * half),
            grain=WIDE,
        )

    def _left(self, A: Array) -> tuple[Array, int, int]:
        """The left factor as flat words, with its strides between rows and between words of a row."""
        N, K = A.shape
        if A.strides[1] == A.itemsize:
            rounded = self._room(N, words(K, PAIR))
            self.team.share(N, lambda lo, hi: _round_rows(A, rounded, lo, hi))
            return rounded.reshape(-1), rounded.shape[1], 1
        rounded = self._room(words(K, PAIR), N)
        self.team.share(len(rounded), lambda lo, hi: _round_steps(A.T[None, 2 * lo : 2 * hi], rounded[lo:hi], 0, 1))
        return rounded.reshape(-1), 1, N

    def _room(self, *shape: int) -> Array:
        if shape not in self._rooms:
            self._rooms[shape] = np.zeros(shape, PAIR)
        return self._rooms[shape]


def _flat(array: Array) -> Array:
    """All memory from the array's first element to its last, rows of it contiguous, as one vector."""
    length = (array.shape[0] - 1) * (array.strides[0] // array.itemsize) + array.shape[1]
    return np.lib.stride_tricks.as_strided(array, (length,), (array.itemsize,))


@compiled
def _round_rows(A: Any, rounded: Any, lo: int, hi: int) -> None:
    for n in range(lo, hi):
        put_words(A[n], rounded[n])


@compiled
def _round_steps(A: Any, rounded: Any, lo: int, hi: int) -> None:
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


@compiled
def _packed_product(A: Any, D: int, P: Any, C: Any, c_row: int, lo: int, hi: int, K: int) -> None:
    """C = Aᵀ B for columns lo … hi − 1; A is (K, D) words, P holds B."""
    first = lo
    while first < hi:
        width = tile_width(hi - first, LANES)
        count = min(width, hi - first)
        for n in range(D):
            C[n * c_row + first : n * c_row + first + count] = 0
        for k in range(0, K, DEPTH):
            add_tile(
                A, k * D, 1, D, P, first * K + k * width, C, first, c_row, D, min(DEPTH, K - k), width, count
            )  # fmt: skip
        first += width


@compiled
def _product(
    A: Any, a: int, a_row: int, a_k: int, B: Any, P: Any, lo: int, hi: int, C: Any, c: int, c_row: int, N: int
) -> None:  # fmt: skip
    """C = A B for N rows of A and columns lo … hi − 1. P is room for DEPTH rows of a wide tile."""
    first = lo
    while first < hi:
        width = tile_width(hi - first, LANES)
        count = min(width, hi - first)
        for n in range(N):
            at = c + n * c_row + first
            for j in range(count):
                C[at + j] = 0
        for start in range(0, len(B), DEPTH):
            stop = min(start + DEPTH, len(B))
            K = (stop - start + 1) // 2
            pack_columns(B, P, start, stop, first, first + count, K, first)
            add_tile(A, a + start // 2 * a_k, a_row, a_k, P, 0, C, c + first, c_row, N, K, width, count)
        first += width
