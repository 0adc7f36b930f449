"""exp, σ and tanh that a compiler can turn into vector code, within a few units in the last place in float32.

In float64, which only tests use, they are the C library's.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from llvmlite import ir
from numba.core import types

from model.kernels.contracted import compiled_form_of, intrinsic

_LOG2E = np.float32(1.4426950408889634)
# ln 2 in two parts, the first with so few digits that its multiples by whole numbers are exact.
_LN2_HIGH = np.float32(0.693359375)
_LN2_LOW = np.float32(-2.12194440054690583e-4)
_ROUND = np.float32(12582912.0)  # 1.5 · 2²³: adding it leaves a whole number in the last bits
_C = [np.float32(1 / math.factorial(k)) for k in range(9)]
_C2, _C3, _C4, _C5, _C6, _C7 = _C[2:8]
_ONE, _TWO, _HALF = np.float32(1), np.float32(2), np.float32(0.5)
_LOWEST, _HIGHEST = np.float32(-87.0), np.float32(88.0)
_FLAT = np.float32(9.1)  # tanh is ±1 in float32 beyond


@intrinsic
def _power_of_two(_typing: Any, rounded: Any) -> Any:
    """2ⁿ for a float32 that is n + _ROUND: its last bits, moved to where the exponent stands."""

    def generate(_context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        whole = ir.IntType(32)
        bits = builder.bitcast(args[0], whole)
        exponent = builder.add(builder.shl(bits, ir.Constant(whole, 23)), ir.Constant(whole, 127 << 23))
        return builder.bitcast(exponent, ir.FloatType())

    return types.float32(types.float32), generate


def exp(x: Any) -> Any:
    return math.exp(x)


def sigmoid(x: Any) -> Any:
    return 1 / (1 + math.exp(-x))


def tanh(x: Any) -> Any:
    return math.tanh(x)


@compiled_form_of(exp)
def _exp(x: Any) -> Any:
    if x != types.float32:
        return lambda x: math.exp(x)

    def exp32(x: Any) -> Any:
        """x = n ln 2 + r with |r| ≤ ln 2 / 2, so eˣ = 2ⁿ eʳ, and eʳ by its series."""
        x = min(max(x, _LOWEST), _HIGHEST) if x == x else x
        rounded = x * _LOG2E + _ROUND
        n = rounded - _ROUND
        r = (x - n * _LN2_HIGH) - n * _LN2_LOW
        series = ((((((_C7 * r + _C6) * r + _C5) * r + _C4) * r + _C3) * r + _C2) * r * r) + r
        return _power_of_two(rounded) * (series + _ONE)

    return exp32


@compiled_form_of(sigmoid)
def _sigmoid(x: Any) -> Any:
    if x != types.float32:
        return lambda x: 1 / (1 + math.exp(-x))
    return lambda x: _ONE / (_ONE + exp(-x))


@compiled_form_of(tanh)
def _tanh(x: Any) -> Any:
    if x != types.float32:
        return lambda x: math.tanh(x)

    def tanh32(x: Any) -> Any:
        """e / (e + 2) with e = e²ˣ − 1, put together so that nothing cancels where x is small."""
        x = min(max(x, -_FLAT), _FLAT) if x == x else x
        x = _TWO * x
        rounded = x * _LOG2E + _ROUND
        n = rounded - _ROUND
        r = (x - n * _LN2_HIGH) - n * _LN2_LOW
        series = ((((((_C7 * r + _C6) * r + _C5) * r + _C4) * r + _C3) * r + _C2) * r * r) + r
        power = _power_of_two(rounded)
        e = power * series + (power - _ONE)
        return e / (e + _TWO)

    return tanh32
