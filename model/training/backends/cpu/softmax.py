"""Softmax cross-entropy and its gradient in one pass over the logits, for steps lo … hi − 1."""

from __future__ import annotations

import numpy as np

from model.arrays import Int32s, Int32s2D, Reals, Reals2D, Reals3D
from model.kernels.activations import exp
from model.kernels.contracted import contracted

LANES = 64  # sums and maxima run in so many lanes, in a fixed order: fast, and the same every time


@contracted
def loss_and_gradient(Y: Reals3D, b: Reals, labels: Int32s2D, losses: Reals2D, db: Reals, lo: int, hi: int) -> None:
    """With Z = Y + b: losses are −log softmax(Z)[labels], and Y becomes softmax(Z) − one_hot(labels).

    Y is (T, N, V), labels and losses (T, N); db becomes the sum of the new Y over its rows.
    """
    db[:] = 0
    for t in range(lo, hi):
        _rows(Y[t], b, labels[t], losses[t], db)


@contracted
def _rows(Y: Reals2D, b: Reals, labels: Int32s, losses: Reals, db: Reals) -> None:
    V = Y.shape[1]
    lanes = np.zeros(LANES, Y.dtype)
    whole = V - V % LANES
    one = Y.dtype.type(1)
    for i in range(len(Y)):
        y, label = Y[i], labels[i]
        for j in range(V):
            y[j] += b[j]
        lanes[:] = y[0]
        for j in range(0, whole, LANES):
            block = y[j : j + LANES]
            for lane in range(LANES):
                lanes[lane] = block[lane] if block[lane] > lanes[lane] else lanes[lane]
        top = lanes[0]
        for lane in range(LANES):
            top = max(top, lanes[lane])
        for j in range(whole, V):
            top = max(top, y[j])
        chosen = y[label] - top
        for j in range(V):
            y[j] = exp(y[j] - top)
        lanes[:] = 0
        for j in range(0, whole, LANES):
            block = y[j : j + LANES]
            for lane in range(LANES):
                lanes[lane] += block[lane]
        total = lanes[0]
        for lane in range(1, LANES):
            total += lanes[lane]
        for j in range(whole, V):
            total += y[j]
        losses[i] = np.log(total) - chosen
        share = one / total
        for j in range(V):
            y[j] *= share
            db[j] += y[j]
        y[label] -= one
        db[label] -= one
