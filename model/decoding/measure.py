"""What a row of logits says about a character: its log-probability, its rank, the likeliest others, the uncertainty.

All of it is about the model's own distribution, softmax(logits): temperature, top-k and top-p change what is drawn, not
what is reported. A row's numbers depend on that row alone.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from model.arrays import Float32s2D, Float64s, Float64s2D, Int32s, Int32s2D, Int64s
from model.kernels.compiled import compiled


class Measured(NamedTuple):
    """Of N rows, with A alternatives. Log-probabilities and entropies in nats; rank 0 is the likeliest."""

    logprobs: Float64s  # (N,)
    ranks: Int32s  # (N,)
    entropies: Float64s  # (N,)
    alternatives: Int32s2D  # (N, A), likeliest first, equal ones by index
    alternative_logprobs: Float64s2D  # (N, A)


def empty(shape: tuple[int, ...], alternatives: int) -> Measured:
    """Arrays to be filled."""
    wide = (*shape, alternatives)
    one = (np.empty(shape), np.empty(shape, np.int32), np.empty(shape))
    return Measured(*one, np.empty(wide, np.int32), np.empty(wide))


def measure(logits: Float32s2D, characters: Int64s, alternatives: int = 0) -> Measured:
    """logits (N, V), characters (N,). There are never more alternatives than characters in the vocabulary."""
    N, V = logits.shape
    measured = empty((N,), min(alternatives, V))
    measure_rows(logits, np.arange(N), 0, np.zeros(N, np.int64), np.ascontiguousarray(characters), measured)
    return measured


def measure_rows(
    logits: Float32s2D, rows: Int64s, step: int, begins: Int64s, characters: Int64s, measured: Measured
) -> bool:
    """Fills `measured` with M rows of logits (N, V), those at `rows`; begins and characters are (M,).

    Row m is left out, and costs nothing, before the step begins[m]. Returns whether all logits looked at were finite.
    """
    return _measure(logits, rows, step, begins, characters, *measured)


def joined(parts: Sequence[Measured]) -> Measured:
    """Several, one after the other, as one. At least one."""
    return Measured(*map(np.concatenate, zip(*parts, strict=True)))


def part_of(measured: Measured, start: int, stop: int) -> Measured:
    """Rows start … stop − 1, as arrays of their own: nothing larger is kept by them."""
    return Measured(*(values[start:stop].copy() for values in measured))  # type: ignore[arg-type]


@compiled
def _measure(
    logits: Float32s2D,
    rows: Int64s,
    step: int,
    begins: Int64s,
    characters: Int64s,
    logprobs: Float64s,
    ranks: Int32s,
    entropies: Float64s,
    alternatives: Int32s2D,
    alternative_logprobs: Float64s2D,
) -> bool:
    V = logits.shape[1]
    A = alternatives.shape[1]
    for n in range(len(rows)):
        if step < begins[n]:
            continue
        row, own = logits[rows[n]], logits[rows[n], characters[n]]
        top = float(row.max())
        rank, whole, first_moment = 0, 0.0, 0.0
        for v in range(V):
            if row[v] > own or (row[v] == own and v < characters[n]):
                rank += 1
            below = float(row[v]) - top
            weight = math.exp(below)
            whole += weight
            first_moment += weight * below
        if not math.isfinite(whole + first_moment):
            return False
        log_whole = math.log(whole)
        logprobs[n] = float(own) - top - log_whole
        ranks[n] = rank
        entropies[n] = log_whole - first_moment / whole
        found = 0  # insertion into a short list that stays in order
        for v in range(V):
            if A == 0 or (found == A and row[v] <= row[alternatives[n, A - 1]]):
                continue
            at = min(found, A - 1)
            while at > 0 and row[alternatives[n, at - 1]] < row[v]:
                alternatives[n, at] = alternatives[n, at - 1]
                at -= 1
            alternatives[n, at] = v
            found = min(found + 1, A)
        for a in range(A):
            alternative_logprobs[n, a] = float(row[alternatives[n, a]]) - top - log_whole
    return True
