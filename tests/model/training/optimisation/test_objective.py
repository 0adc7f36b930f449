from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from model.training.optimisation.objective import clipping_factor, global_norm, grad_clipping, hopeless, perplexity
from tests.reference import MXNET_EXISTS, mx


def test_perplexity_of_a_perfect_model_and_of_one_that_guesses_evenly() -> None:
    assert perplexity(0.0, 7) == 1.0
    assert perplexity(12 * math.log(29), 12) == pytest.approx(29)
    assert perplexity(1e6, 10) == math.inf


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("length", [0, 1, 63, 64, 65, 127, 128, 1000])
def test_the_norm_is_that_of_all_numbers(length: int, dtype: type[np.floating[Any]]) -> None:
    gradient = np.random.default_rng(length).normal(0, 2, length).astype(dtype)
    expected = math.sqrt(math.fsum(float(value) ** 2 for value in gradient))
    assert global_norm(gradient) == pytest.approx(expected, rel=1e-5 if dtype is np.float32 else 1e-13)


def test_the_norm_of_numbers_that_are_not_finite_is_not_finite() -> None:
    for bad in (np.nan, np.inf):
        for place in (0, 70):
            gradient = np.ones(71, np.float32)
            gradient[place] = bad
            assert not math.isfinite(global_norm(gradient))


@pytest.mark.parametrize(
    ("norm", "theta", "factor"), [(10, 5, 0.5), (5, 5, 1), (2, 5, 1), (0, 5, 1), (8, 0.5, 1 / 16), (0.5, 0.125, 0.25)]
)
def test_the_factor_brings_the_norm_down_to_theta_and_never_up(norm: float, theta: float, factor: float) -> None:
    assert clipping_factor(norm, theta) == factor


@pytest.mark.parametrize("vocab_size", [1, 2, 3, 1465])
def test_a_loss_above_ten_times_that_of_guessing_evenly_is_hopeless(vocab_size: int) -> None:
    bound = 10 * math.log(max(vocab_size, 2))  # one character alone cannot be guessed wrongly
    assert [hopeless(loss, vocab_size) for loss in (0.0, bound, math.nextafter(bound, math.inf))] == [
        False,
        False,
        True,
    ]
    assert [hopeless(loss, vocab_size) for loss in (math.nan, math.inf)] == [True, True]


@pytest.mark.parametrize("theta", [0.5, 13.0, 100.0])
def test_clipping_scales_all_gradients_by_one_factor(theta: float) -> None:
    first, second = np.array([[3.0, 0.0]]), np.array([4.0, 12.0])  # together of norm 13
    for wrap in (np.array, mx.nd.array) if MXNET_EXISTS else (np.array,):
        gradients = [wrap(first), wrap(second)]
        assert grad_clipping(gradients, theta) == pytest.approx(13)
        for ours, before in zip(gradients, (first, second), strict=True):
            after = ours if isinstance(ours, np.ndarray) else ours.asnumpy()
            np.testing.assert_allclose(after, before * min(1.0, theta / 13), rtol=1e-6)
