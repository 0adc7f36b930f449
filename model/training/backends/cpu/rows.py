"""Rows of a matrix by index: the product of one-hot rows with it, and the gradient of that product."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from model.kernels.contracted import compiled

Array = npt.NDArray[Any]
# What fills a layer's G: W (D, M), b (M), and for each step and row an index of W and a factor, both (T, N).
Inputs: TypeAlias = "tuple[Array, Array, Array, Array]"


@compiled
def fill(inputs: Any, t: int, G: Any, lo: int, hi: int) -> None:
    """G[t, n] = scale[t, n] W[indices[t, n]] + b for n from lo to hi − 1; without indices G is left as it is."""
    W, b, indices, scale = inputs
    if len(indices) == 0:
        return
    for n in range(lo, hi):
        row, out, s = W[indices[t, n]], G[t, n], scale[t, n]
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


def nothing(dtype: Any) -> Inputs:
    """For a layer whose G is filled already."""
    return np.zeros((0, 0), dtype), np.zeros(0, dtype), np.zeros((0, 0), np.int32), np.zeros((0, 0), dtype)
