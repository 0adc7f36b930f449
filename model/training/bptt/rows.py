"""Rows of a matrix by index: the product of one-hot rows with it, and the gradient of that product."""

from __future__ import annotations

from typing import Any

from model.training.compiled import compiled


@compiled
def gather(W: Any, b: Any, indices: Any, scale: Any, G: Any, lo: int, hi: int) -> None:
    """G[i] = scale[i] W[indices[i]] + b for i from lo to hi − 1."""
    for i in range(lo, hi):
        row, out, s = W[indices[i]], G[i], scale[i]
        for j in range(len(b)):
            out[j] = s * row[j] + b[j]


@compiled
def scatter(dW: Any, db: Any, indices: Any, scale: Any, dG: Any, lo: int, hi: int) -> None:
    """dW[indices[i]] += scale[i] dG[i] and db += dG[i] over all rows, for columns lo … hi − 1.

    Threads share out the columns, so that no two write to one place.
    """
    total = db[lo:hi]
    for i in range(len(indices)):
        row, out, s = dG[i, lo:hi], dW[indices[i], lo:hi], scale[i]
        for j in range(hi - lo):
            out[j] += s * row[j]
            total[j] += row[j]


@compiled
def add_rows(db: Any, dG: Any, lo: int, hi: int) -> None:
    """db += Σ_i dG[i], for columns lo … hi − 1."""
    out = db[lo:hi]
    for i in range(len(dG)):
        row = dG[i, lo:hi]
        for j in range(hi - lo):
            out[j] += row[j]
