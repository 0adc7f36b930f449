"""What compiled training code promises about arithmetic, against NumPy one operation at a time."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from numba.core import types

from model.kernels.contracted import compiled_form_of, contracted, intrinsic


@contracted
def divide(a: float, b: float) -> float:
    return a / b


@contracted
def total(values: Any) -> Any:
    s = np.float32(0)
    for value in values:
        s += value
    return s


@contracted
def is_nan(value: float) -> bool:
    return value != value


@pytest.mark.parametrize(("a", "b", "quotient"), [(1.0, 0.0, math.inf), (-1.0, 0.0, -math.inf), (3.0, 2.0, 1.5)])
def test_division_is_that_of_floating_point_and_no_error(a: float, b: float, quotient: float) -> None:
    assert divide(a, b) == quotient


def test_what_is_not_a_number_stays_so() -> None:
    assert is_nan(divide(0.0, 0.0))
    assert not is_nan(1.0)


def test_sums_are_taken_in_the_order_in_which_they_are_written() -> None:
    values = np.random.default_rng(0).normal(0, 1, 1001).astype(np.float32) * np.float32(10) ** np.arange(-3, 4).repeat(
        143
    )
    values = values.astype(np.float32)
    expected, backwards = np.float32(0), np.float32(0)
    for value, other in zip(values, values[::-1], strict=True):
        expected, backwards = np.float32(expected + value), np.float32(backwards + other)
    assert expected != backwards  # the order can be seen in the result
    assert np.float32(total(values)) == expected


def plain(x: Any) -> Any:
    return ("plain", x)


@compiled_form_of(plain)
def _compiled_plain(x: Any) -> Any:
    if isinstance(x, types.Float):
        return lambda x: x * 2
    return lambda x: x + 100


@contracted
def calls_plain(x: Any) -> Any:
    return plain(x)


def test_the_compiled_form_of_a_function_is_chosen_by_the_type_of_its_argument() -> None:
    assert plain(1) == ("plain", 1)
    assert calls_plain(1) == 101
    assert calls_plain(1.5) == 3.0


@intrinsic
def halved(typing_context: Any, x: Any) -> Any:
    def build(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.lshr(arguments[0], context.get_constant(types.int64, 1))

    return types.int64(types.int64), build


@contracted
def calls_halved(x: int) -> Any:
    return halved(x)


def test_an_intrinsic_stands_in_compiled_code_as_it_says() -> None:
    assert [calls_halved(x) for x in (0, 1, 10, 11)] == [0, 0, 5, 5]
