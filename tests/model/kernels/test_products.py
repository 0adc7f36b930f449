from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from model.kernels import bfloat16
from model.kernels.bfloat16 import PAIR, pair
from model.kernels.contracted import contracted
from model.kernels.packing import put_packed
from model.kernels.products import Products
from model.kernels.team import Team

needs_bfloat16 = pytest.mark.skipif(not bfloat16.available(), reason="this processor does not multiply bfloat16")
OPERANDS = [np.float32, np.float64, pytest.param(PAIR, marks=needs_bfloat16)]
SHAPES = [(1, 1, 1), (5, 3, 65), (7, 130, 63), (32, 600, 40), (6, 301, 130), (300, 9, 81)]


def rounded(x: Any) -> Any:
    """To the nearest bfloat16, ties to even, as float32."""
    bits = np.atleast_1d(np.asarray(x, np.float32)).view(np.uint32)
    return ((bits + np.uint32(0x7FFF) + ((bits >> 16) & np.uint32(1))) & np.uint32(0xFFFF0000)).view(np.float32)


def exact(A: Any, B: Any, operand: Any) -> Any:
    if operand == PAIR:
        A, B = rounded(A), rounded(B)
    return A.astype(np.float64) @ B


def random(shape: tuple[int, ...], operand: Any, seed: int = 0) -> Any:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float64 if operand == np.float64 else np.float32)


def test_a_pair_holds_both_numbers_rounded_to_even() -> None:
    ties = np.array([0x3F808000, 0x3F818000, 0x3F80C001, 0x7F800000], np.uint32).view(np.float32)
    for low in [*ties, np.float32(-1.1), np.float32(0)]:
        both = np.array([pair(low, np.float32(2.3))], np.int32).view(np.uint16)
        assert (both.astype(np.uint32) << 16).view(np.float32).tolist() == [*rounded(low), *rounded(2.3)]
    both = np.array([pair(np.float32(np.nan), np.float32(0))], np.int32).view(np.uint16)
    assert np.isnan((both.astype(np.uint32) << 16).view(np.float32)[0])


@pytest.mark.parametrize("operand", OPERANDS)
@pytest.mark.parametrize(("N", "K", "M"), SHAPES)
@pytest.mark.parametrize(("left", "right"), [(False, False), (True, False), (False, True)])
def test_dot_is_the_product_of_the_rounded_factors(
    N: int, K: int, M: int, operand: Any, left: bool, right: bool
) -> None:
    A = random((K, N), operand).T if left else random((N, K), operand)
    B = random((M, K), operand, 1).T if right else random((K, M), operand, 1)
    out = np.full((N, M + 3), np.nan, A.dtype)
    for threads in (1, 3):
        Products(Team(threads), operand).dot(A, B, out[:, 1 : M + 1])
        tolerance = 1e-12 if operand == np.float64 else 2e-5
        np.testing.assert_allclose(out[:, 1 : M + 1], exact(A, B, operand), rtol=tolerance, atol=tolerance * K**0.5)
    assert np.isnan(out[:, [0, M + 1, M + 2]]).all()


@contracted
def _pack(B: Any, P: Any) -> None:
    for t in range(len(B)):
        put_packed(B, t, 0, B.shape[1], P)


@pytest.mark.parametrize("operand", OPERANDS)
@pytest.mark.parametrize(("T", "N", "D", "M"), [(3, 4, 5, 65), (2, 5, 9, 128), (1, 1, 1, 1), (70, 6, 37, 50)])
def test_correlate_sums_over_steps_and_rows(T: int, N: int, D: int, M: int, operand: Any) -> None:
    A, B = random((T, N, D), operand), random((T, N, M), operand, 1)
    own = Products(Team(2), operand)
    P, out = own.packed(T, N, M), np.zeros((D, M), A.dtype)
    _pack(B, P)
    own.correlate(A, P, out)
    expected = exact(A.reshape(-1, D).T, B.reshape(-1, M), operand)
    np.testing.assert_allclose(out, expected, rtol=2e-5, atol=1e-4)


@needs_bfloat16
def test_the_number_of_threads_changes_no_bit() -> None:
    A, B = random((37, 600), PAIR), random((600, 200), PAIR, 1)
    outs = []
    for threads in (1, 2, 5):
        outs.append(np.zeros((37, 200), np.float32))
        Products(Team(threads), PAIR).dot(A, B, outs[-1])
    assert outs[0].tobytes() == outs[1].tobytes() == outs[2].tobytes()
