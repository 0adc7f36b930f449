"""What a row of logits says about a character: its log-probability, its rank, the likeliest others, the uncertainty.

All of it is about the model's own distribution, softmax(logits): temperature, top-k and top-p change what is drawn, not
what is reported. A row's numbers depend on that row alone.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from model.compiled import compiled
from model.engines.interface import Floats, Indices

Float64s = npt.NDArray[np.float64]


class Measured(NamedTuple):
    """Of N rows, with A alternatives. Log-probabilities and entropies in nats; rank 0 is the likeliest."""

    logprobs: Float64s  # (N,)
    ranks: Indices  # (N,)
    entropies: Float64s  # (N,)
    alternatives: Indices  # (N, A), likeliest first, equal ones by index
    alternative_logprobs: Float64s  # (N, A)


def measure(logits: Floats, characters: Indices, alternatives: int = 0) -> Measured:
    """logits (N, V), characters (N,). There are never more alternatives than characters in the vocabulary."""
    N, V = logits.shape
    A = min(alternatives, V)
    measured = Measured(np.empty(N), np.empty(N, np.int64), np.empty(N), np.empty((N, A), np.int64), np.empty((N, A)))
    _measure(logits, np.ascontiguousarray(characters), *measured)
    return measured


def joined(parts: Sequence[Measured]) -> Measured:
    """Several, one after the other, as one. At least one."""
    return Measured(*map(np.concatenate, zip(*parts, strict=True)))


def part_of(measured: Measured, start: int, stop: int) -> Measured:
    """Rows start … stop − 1."""
    return Measured(*(values[start:stop] for values in measured))  # type: ignore[arg-type]


@compiled
def _measure(
    logits: Floats,
    characters: Indices,
    logprobs: Float64s,
    ranks: Indices,
    entropies: Float64s,
    alternatives: Indices,
    alternative_logprobs: Float64s,
) -> None:
    N, V = logits.shape
    A = alternatives.shape[1]
    for n in range(N):
        row, own = logits[n], logits[n, characters[n]]
        top = float(row.max())
        rank, whole, first_moment = 0, 0.0, 0.0
        for v in range(V):
            if row[v] > own or (row[v] == own and v < characters[n]):
                rank += 1
            below = float(row[v]) - top
            weight = math.exp(below)
            whole += weight
            first_moment += weight * below
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
