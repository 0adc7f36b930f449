"""bfloat16: the upper half of a float32, whose products some processors sum at twice the speed, in float32.

Such products take their factors two by two, so two bfloat16 that are multiplied together share one int32 "pair": the
first in the lower half. Only copies that a product reads are rounded; weights, states and sums stay float32.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba.core import types

from model.kernels.contracted import contracted, intrinsic
from model.processor import has

PAIR = np.int32


def available() -> bool:
    """Whether this processor multiplies bfloat16 (AVX512_BF16)."""
    return has("avx512bf16")


@intrinsic
def _bits(_typing: Any, value: Any) -> Any:
    """The 32 bits of a float32."""

    def generate(_context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        return builder.bitcast(args[0], ir.IntType(32))

    return types.uint32(types.float32), generate


@contracted
def pair(low: np.float32, high: np.float32) -> np.int32:
    """Two float32 as one pair, each rounded to the nearest bfloat16, ties to even."""
    one, half = np.uint32(1), np.uint32(0x7FFF)
    a, b = _bits(low), _bits(high)
    a = (a + half + ((a >> np.uint32(16)) & one)) >> np.uint32(16)
    b = (b + half + ((b >> np.uint32(16)) & one)) & np.uint32(0xFFFF0000)
    return np.int32(a | b)
