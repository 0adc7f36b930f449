"""Rows of a matrix by index: the product of one-hot rows with it, and the gradient of that product."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np

from model.arrays import Int32s, Int32s2D, Reals, Reals2D, Reals3D, RealType
from model.kernels.contracted import contracted

# What fills a layer's G: W (D, M), b (M), and for each step and row an index of W, (T, N).
Inputs: TypeAlias = "tuple[Reals2D, Reals, Int32s2D]"


@contracted
def fill(inputs: Inputs, t: int, G: Reals3D, lo: int, hi: int) -> None:
    """G[t, n] = W[indices[t, n]] + b for n from lo to hi − 1; without indices G is left as it is."""
    W, b, indices = inputs
    if len(indices) == 0:
        return
    for n in range(lo, hi):
        row, out = W[indices[t, n]], G[t, n]
        for j in range(len(b)):
            out[j] = row[j] + b[j]


@contracted
def scatter(dW: Reals2D, db: Reals, indices: Int32s, dG: Reals2D, lo: int, hi: int) -> None:
    """dW[indices[i]] += dG[i] and db += dG[i] over all rows, for columns lo … hi − 1.

    Threads share out the columns, so that no two write to one place.
    """
    total = db[lo:hi]
    for i in range(len(indices)):
        row, out = dG[i, lo:hi], dW[indices[i], lo:hi]
        for j in range(hi - lo):
            out[j] += row[j]
            total[j] += row[j]


@contracted
def add_rows(db: Reals, dG: Reals2D, lo: int, hi: int) -> None:
    """db += Σ_i dG[i], for columns lo … hi − 1."""
    out = db[lo:hi]
    for i in range(len(dG)):
        row = dG[i, lo:hi]
        for j in range(hi - lo):
            out[j] += row[j]


def nothing(dtype: RealType) -> Inputs:
    """For a layer whose G is filled already."""
    return np.zeros((0, 0), dtype), np.zeros(0, dtype), np.zeros((0, 0), np.int32)
