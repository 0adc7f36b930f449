from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from model.arrays import Float32s, Float32s2D
from model.kernels.activations import exp, sigmoid, tanh
from model.kernels.contracted import contracted
from model.kernels.products import Products
from model.kernels.team import Team
from model.kernels.tile import add_product


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("N", "K", "M"), [(1, 1, 1), (4, 8, 64), (5, 3, 65), (7, 130, 63), (32, 16, 200)])
def test_the_product_is_added_for_any_shape(N: int, K: int, M: int, dtype: type[np.floating[Any]]) -> None:
    rng = np.random.default_rng(0)
    A, W, C = (rng.normal(size=shape).astype(dtype) for shape in ((N, K + 2), (K, M), (N, M + 3)))
    expected = C.copy()
    expected[:, 2 : M + 2] += A[:, 1 : K + 1] @ W
    add_product(A.reshape(-1), 1, K + 2, 1, Products(Team(1), dtype).pack(W), C.reshape(-1), 2, M + 3, N, M)
    np.testing.assert_allclose(C, expected, rtol=1e-4 if dtype == np.float32 else 1e-12, atol=1e-5)


@contracted
def _all(x: Float32s, out: Float32s2D) -> None:
    for i in range(len(x)):
        out[0, i], out[1, i], out[2, i] = exp(x[i]), sigmoid(x[i]), tanh(x[i])


def test_activations_are_exact_to_a_few_units_in_the_last_place() -> None:
    x = np.concatenate([np.linspace(-86, 86, 100_001), np.geomspace(1e-12, 1, 1000)]).astype(np.float32)
    out = np.zeros((3, len(x)), np.float32)
    _all(x, out)
    wide = x.astype(np.float64)
    for ours, exact in zip(out, (np.exp(wide), 1 / (1 + np.exp(-wide)), np.tanh(wide)), strict=True):
        np.testing.assert_allclose(ours, exact, rtol=1e-6)


def test_activations_keep_infinity_bounded_and_pass_nan_on() -> None:
    out = np.zeros((3, 3), np.float32)
    _all(np.array([np.inf, -np.inf, np.nan], np.float32), out)
    np.testing.assert_allclose(out[1:, :2], [[1, 0], [1, -1]], atol=1e-6)
    assert np.isnan(out[:, 2]).all()
