"""Matrices laid out as the register block of `tile` reads them, and rows of numbers as words of a left factor.

A right factor (K, M) is cut into tiles of a few vectors' width; the tile that begins at column j begins at place j K
of a flat array, k after k. Words are floats, or pairs of bfloat16 (`PAIR`); K counts words.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from model.arrays import Reals, Reals2D, Reals3D, Words
from model.kernels.bfloat16 import PAIR, pair
from model.kernels.contracted import compiled_form_of, contracted
from model.processor import has

_WIDE = has("avx512f")
VECTOR_BYTES = 64 if _WIDE else 32
VECTORS = 4 if _WIDE else 2  # of a wide tile: 4 rows × VECTORS accumulators and what they need fit the registers


def words(K: int, operand: npt.DTypeLike) -> int:
    """How many words of `operand` a row of K numbers takes."""
    return -(-K // 2) if operand == PAIR else K


@contracted
def padded(M: int, lanes: int) -> int:
    """Columns of all tiles of M columns together."""
    wide = lanes * VECTORS
    left = M % wide
    return M - left + (wide if 2 * left > wide else (left + lanes - 1) // lanes * lanes)


def room_for(K: int, M: int, operand: npt.DTypeLike) -> Words:
    """Room for a packed matrix of K words by M columns."""
    return np.zeros(K * padded(M, VECTOR_BYTES // np.dtype(operand).itemsize), operand)


@contracted
def tile_width(left: int, lanes: int) -> int:
    """Columns of the next tile when `left` are left: as wide as can be, but not half empty."""
    return lanes * VECTORS if 2 * left > lanes * VECTORS else lanes


def put_words(source: Reals, target: Words) -> None:
    """Writes a row of numbers as words of the target's type; nothing is done where they are the same memory."""
    raise NotImplementedError


@compiled_form_of(put_words)
def _put_words(source: Any, target: Any) -> Any:
    if target.dtype == source.dtype:
        return lambda source, target: None

    def put(source: Reals, target: Words) -> None:
        whole = len(source) // 2
        for k in range(whole):
            target[k] = pair(source[2 * k], source[2 * k + 1])
        if len(source) % 2:
            target[whole] = pair(source[2 * whole], np.float32(0))

    return put


def copy_words(source: Reals, target: Words) -> None:
    """Writes a row of numbers as words of the target's type, into other memory."""
    raise NotImplementedError


@compiled_form_of(copy_words)
def _copy_words(source: Any, target: Any) -> Any:
    if target.dtype != source.dtype:
        return lambda source, target: put_words(source, target)

    def copy(source: Reals, target: Words) -> None:
        for j in range(len(source)):
            target[j] = source[j]

    return copy


def _pack_row(W: Reals2D, start: int, stop: int, k: int, first: int, count: int, P: Words, at: int) -> None:
    """Word k of columns first … first + count − 1 of the rows start … stop − 1 of W, to P[at:]."""
    raise NotImplementedError


@compiled_form_of(_pack_row)
def _packed_row(W: Any, start: Any, stop: Any, k: Any, first: Any, count: Any, P: Any, at: Any) -> Any:
    if W.dtype == P.dtype:

        def copy(W: Reals2D, start: int, stop: int, k: int, first: int, count: int, P: Words, at: int) -> None:
            row, out = W[start + k, first : first + count], P[at : at + count]
            for j in range(count):
                out[j] = row[j]

        return copy

    def pairs(W: Reals2D, start: int, stop: int, k: int, first: int, count: int, P: Words, at: int) -> None:
        place = start + 2 * k
        low, out = W[place, first : first + count], P[at : at + count]
        if place + 1 < stop:
            high = W[place + 1, first : first + count]
            for j in range(count):
                out[j] = pair(low[j], high[j])
        else:
            for j in range(count):
                out[j] = pair(low[j], np.float32(0))

    return pairs


def put_packed(G: Reals3D, t: int, lo: int, hi: int, P: Words) -> None:
    """Rows lo … hi − 1 of step t of G (T, N, M), as their words of the packed right factor (T·N, M); lo is even.

    Pairs are made of rows of one step; the last row of an odd N is paired with zeros.
    """
    raise NotImplementedError


@compiled_form_of(put_packed)
def _put_packed(G: Any, t: Any, lo: Any, hi: Any, P: Any) -> Any:
    per_word = 1 if G.dtype == P.dtype else 2

    def put(G: Reals3D, t: int, lo: int, hi: int, P: Words) -> None:
        T, N, M = G.shape
        each, lanes = (N + per_word - 1) // per_word, VECTOR_BYTES // P.itemsize
        for n in range(lo, hi, per_word):
            first, k = 0, t * each + n // per_word
            while first < M:
                width = tile_width(M - first, lanes)
                _pack_row(G[t], n, hi, 0, first, min(width, M - first), P, first * T * each + k * width)
                first += width

    return put


def _word(W: Reals2D, start: int, stop: int, k: int, j: int, P: Words) -> Any:
    """Word k of column j of the rows start … stop − 1 of W, of P's type."""
    raise NotImplementedError


@compiled_form_of(_word)
def _compiled_word(W: Any, start: Any, stop: Any, k: Any, j: Any, P: Any) -> Any:
    if W.dtype == P.dtype:
        return lambda W, start, stop, k, j, P: W[start + k, j]

    def of_two(W: Reals2D, start: int, stop: int, k: int, j: int, P: Words) -> Any:
        low = start + 2 * k
        return pair(W[low, j], W[low + 1, j] if low + 1 < stop else np.float32(0))

    return of_two


@contracted
def pack_columns(W: Reals2D, P: Words, start: int, stop: int, lo: int, hi: int, K: int, origin: int) -> None:
    """Columns lo … hi − 1 of the rows start … stop − 1 of W, as K words each, to P; column `origin` is P's first.

    The tile of column j begins at P[(j − origin) K]. A tile is VECTORS wide, near the right edge a single vector.
    """
    lanes, turned = VECTOR_BYTES // P.itemsize, W.strides[0] < W.strides[1]
    first = lo
    while first < hi:
        width = tile_width(hi - first, lanes)
        count, at = min(width, hi - first), (first - origin) * K
        if turned:  # its columns are contiguous: go down them by as much as a cache line holds
            for k in range(0, K, lanes):
                for j in range(count):
                    for i in range(k, min(k + lanes, K)):
                        P[at + i * width + j] = _word(W, start, stop, i, first + j, P)
        else:
            for k in range(K):
                _pack_row(W, start, stop, k, first, count, P, at + k * width)
        for k in range(K):
            P[at + k * width + count : at + (k + 1) * width] = 0
        first += width
