"""What training minimises, and how its gradient is bounded."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from model.arrays import Reals
from model.kernels.contracted import contracted

# Times the loss of guessing evenly. Of 19 runs at rates from 0.004 to 1000, the 13 that came to this in any batch all
# ended worse than guessing evenly, where each had begun.
HOPELESS = 10
_LANES = 64


def perplexity(loss_sum: float, count: int) -> float:
    """exp of the mean cross-entropy: 1 for a perfect model, V for one that guesses evenly."""
    try:
        return math.exp(loss_sum / count)
    except OverflowError:
        return math.inf


def hopeless(loss: float, vocab_size: int) -> bool:
    """Whether a loss in nats per character is out of reach of training: not finite, or far above guessing evenly."""
    return not loss <= HOPELESS * even_loss(vocab_size)


def even_loss(vocab_size: int) -> float:
    """That of guessing evenly, for at least two characters."""
    return math.log(max(2, vocab_size))


def grad_clipping(gradients: list[Any], theta: float) -> float:
    """Scales the gradients in place to a global norm of at most theta, g ← g · min(1, θ / ‖g‖).

    ‖g‖ is over all arrays together; it is returned as it was before. Takes NumPy arrays or NDArrays.
    """
    norm = math.sqrt(sum(float(_scalar((g**2).sum())) for g in gradients))
    factor = clipping_factor(norm, theta)
    if factor < 1:
        for g in gradients:
            g *= factor
    return norm


def clipping_factor(norm: float, theta: float) -> float:
    return min(1.0, theta / norm) if norm > 0 else 1.0


def global_norm(gradient: Reals) -> float:
    """‖g‖ of all gradients in one flat vector."""
    return math.sqrt(_sum_of_squares(gradient))


@contracted
def _sum_of_squares(x: Reals) -> float:
    """Summed in _LANES lanes, in a fixed order: fast, and the same every time."""
    lanes = np.zeros(_LANES, x.dtype)
    whole = len(x) - len(x) % _LANES
    for i in range(0, whole, _LANES):
        block = x[i : i + _LANES]
        for lane in range(_LANES):
            lanes[lane] += block[lane] * block[lane]
    total = 0.0
    for lane in range(_LANES):
        total += lanes[lane]
    for i in range(whole, len(x)):
        total += x[i] * x[i]
    return total


def _scalar(value: Any) -> Any:
    return value.asscalar() if hasattr(value, "asscalar") else np.asarray(value).item()
