from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from model.training.optimisation.optimizers import BETA1, BETA2, EPSILON, OPTIMIZERS, follow

LENGTH, DECAYED = 37, 20


def steps(seed: int, dtype: Any, count: int = 25) -> tuple[Any, list[tuple[Any, float]]]:
    """Weights, and for each step a gradient and a learning rate."""
    rng = np.random.default_rng(seed)
    weights = rng.normal(size=LENGTH).astype(dtype)
    return weights, [(rng.normal(0, 3, LENGTH).astype(dtype), float(rng.uniform(0.001, 0.1))) for _ in range(count)]


def sgd(w: Any, gradients: list[tuple[Any, float]], scale: float, decay: float) -> Any:
    """w ← w − η (g + λ w), the decay for the matrices only."""
    shrunk = np.arange(LENGTH) < DECAYED
    for g, rate in gradients:
        w = w - rate * decay * shrunk * w - rate * scale * g
    return w


def adam(w: Any, gradients: list[tuple[Any, float]], scale: float, decay: float) -> Any:
    """As PyTorch documents AdamW: decay first, then the step lr/(1 − β₁ᵗ) · m / (√v / √(1 − β₂ᵗ) + ε)."""
    m = v = np.zeros(LENGTH)
    shrunk = np.arange(LENGTH) < DECAYED
    for t, (g, rate) in enumerate(gradients, 1):
        g = scale * g
        w = w - rate * decay * shrunk * w
        m = m + (1 - BETA1) * (g - m)
        v = BETA2 * v + (1 - BETA2) * g**2
        w = w - rate / (1 - BETA1**t) * m / (np.sqrt(v) / np.sqrt(1 - BETA2**t) + EPSILON)
    return w


FORMULAS: dict[str, Callable[..., Any]] = {"sgd": sgd, "adam": adam}


@pytest.mark.parametrize("decay", [0.0, 0.3])
@pytest.mark.parametrize("scale", [1.0, 1 / 640])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_the_steps_are_those_of_the_formula(name: str, scale: float, decay: float) -> None:
    weights, gradients = steps(0, np.float64)
    expected = FORMULAS[name](weights.copy(), gradients, scale, decay)
    optimizer = OPTIMIZERS[name](weights, DECAYED)
    for number, (gradient, rate) in enumerate(gradients, 1):
        optimizer.update(weights, gradient, scale, rate, decay, number)
    np.testing.assert_allclose(weights, expected, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_float32_stays_float32_and_near_the_formula(name: str) -> None:
    weights, gradients = steps(1, np.float32)
    expected = FORMULAS[name](weights.astype(np.float64), gradients, 0.01, 0.1)
    optimizer = OPTIMIZERS[name](weights, DECAYED)
    for number, (gradient, rate) in enumerate(gradients, 1):
        optimizer.update(weights, gradient, 0.01, rate, 0.1, number)
    assert weights.dtype == np.float32
    assert all(array.dtype == np.float32 for array in optimizer.arrays.values())
    np.testing.assert_allclose(weights, expected, rtol=2e-5, atol=1e-6)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_the_arrays_are_all_that_an_optimizer_remembers(name: str) -> None:
    weights, gradients = steps(2, np.float32)
    whole = weights.copy()
    optimizer = OPTIMIZERS[name](whole, DECAYED)
    for number, (gradient, rate) in enumerate(gradients, 1):
        optimizer.update(whole, gradient, 0.5, rate, 0.1, number)
    for number, (gradient, rate) in enumerate(gradients, 1):
        kept = {key: array.copy() for key, array in optimizer.arrays.items()} if number > 1 else {}
        optimizer = OPTIMIZERS[name](weights, DECAYED)  # a new one at each step
        for key, array in kept.items():
            optimizer.arrays[key][:] = array
        optimizer.update(weights, gradient, 0.5, rate, 0.1, number)
    assert weights.tobytes() == whole.tobytes()


def test_an_average_follows_by_its_share() -> None:
    average, weights = np.array([0.0, 4.0, -2.0]), np.array([8.0, 4.0, 2.0])
    follow(average, weights, np.float64(0.25))
    np.testing.assert_array_equal(average, [2.0, 4.0, -1.0])
    np.testing.assert_array_equal(weights, [8.0, 4.0, 2.0])
