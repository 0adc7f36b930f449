"""From a gradient to new weights: SGD as in the chapter, and Adam.

All parameters of a model lie behind each other in one flat vector, weights and gradient alike; the first
`num_decayed` places are the matrices, which weight decay shrinks, the rest the biases, which it leaves alone.
`update` moves the weights in place by one step, `step` counting from 1; the gradient counts `scale` times. State is
explicit: `arrays` is all that an optimizer remembers.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from model.arrays import Reals
from model.kernels.contracted import contracted

Scalar = np.floating[Any]  # of the vectors' own type
BETA1, BETA2, EPSILON = 0.9, 0.99, 1e-8


class Sgd:
    """w ← w − η (g + λ w)"""

    def __init__(self, weights: Reals, num_decayed: int) -> None:
        self.arrays: dict[str, Reals] = {}
        self._num_decayed = num_decayed

    def update(self, weights: Reals, gradient: Reals, scale: float, rate: float, decay: float, step: int) -> None:
        if decay:
            weights[: self._num_decayed] *= 1 - rate * decay
        _sgd(weights, gradient, weights.dtype.type(rate * scale))


class Adam:
    """Kingma and Ba, 2015, with the decay apart from the gradient (Loshchilov and Hutter, 2019):

    m ← β₁ m + (1 − β₁) g;  v ← β₂ v + (1 − β₂) g²
    w ← w − η (m / (1 − β₁ᵗ) / (√(v / (1 − β₂ᵗ)) + ε) + λ w)
    """

    def __init__(self, weights: Reals, num_decayed: int) -> None:
        self.arrays = {"m": np.zeros_like(weights), "v": np.zeros_like(weights)}
        self._num_decayed = num_decayed

    def update(self, weights: Reals, gradient: Reals, scale: float, rate: float, decay: float, step: int) -> None:
        m, v = self.arrays["m"], self.arrays["v"]
        real = weights.dtype.type
        first, second = real(1 / (1 - BETA1**step)), real(1 / (1 - BETA2**step))
        for start, stop, keep in (
            (0, self._num_decayed, real(1 - rate * decay)),
            (self._num_decayed, len(weights), real(1)),
        ):
            own = slice(start, stop)
            _adam(
                weights[own], gradient[own], m[own], v[own], real(scale), real(rate), keep, first, second,
                real(BETA1), real(BETA2), real(EPSILON),
            )  # fmt: skip


@contracted
def follow(average: Reals, weights: Reals, share: Scalar) -> None:
    """average ← average + share (weights − average)"""
    for i in range(len(average)):
        average[i] += share * (weights[i] - average[i])


OPTIMIZERS: dict[str, type[Sgd] | type[Adam]] = {"sgd": Sgd, "adam": Adam}


@contracted
def _sgd(w: Reals, gradient: Reals, step: Scalar) -> None:
    for i in range(len(w)):
        w[i] -= step * gradient[i]


@contracted
def _adam(
    w: Reals, gradient: Reals, m: Reals, v: Reals, scale: Scalar, rate: Scalar, keep: Scalar, first: Scalar,
    second: Scalar, beta1: Scalar, beta2: Scalar, epsilon: Scalar,
) -> None:  # fmt: skip
    one = scale / scale  # 1 of the vectors' own type: a bare 1 would make float64 of float32
    for i in range(len(w)):
        g = gradient[i] * scale
        m[i] = beta1 * m[i] + (one - beta1) * g
        v[i] = beta2 * v[i] + (one - beta2) * g * g
        w[i] = keep * w[i] - rate * (m[i] * first) / (np.sqrt(v[i] * second) + epsilon)
