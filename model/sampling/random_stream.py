"""Random numbers that depend on a seed and a position and on nothing else.

Philox4x32-10 (Salmon, Moraes, Dror and Shaw, 2011, "Parallel random numbers: as easy as 1, 2, 3"): the seed is the key
and the position the counter, so the number at a position needs none of those before it. A text can be taken up again
anywhere, on another machine, in any company, and goes on with the same numbers.
"""

from __future__ import annotations

import numpy as np

from model.kernels.compiled import compiled

_M0, _M1 = np.uint64(0xD2511F53), np.uint64(0xCD9E8D57)
_W0, _W1 = np.uint64(0x9E3779B9), np.uint64(0xBB67AE85)
_LOW, _32 = np.uint64(0xFFFFFFFF), np.uint64(32)
_ROUNDS = 10
_53_BITS = 2.0**-53


@compiled
def philox(
    c0: np.uint64, c1: np.uint64, c2: np.uint64, c3: np.uint64, k0: np.uint64, k1: np.uint64
) -> tuple[np.uint64, np.uint64, np.uint64, np.uint64]:
    """Ten rounds over a counter of four and a key of two 32-bit words, each held in a uint64."""
    for _ in range(_ROUNDS):
        p0, p1 = _M0 * c0, _M1 * c2
        c0, c1, c2, c3 = (p1 >> _32) ^ c1 ^ k0, p1 & _LOW, (p0 >> _32) ^ c3 ^ k1, p0 & _LOW
        k0, k1 = (k0 + _W0) & _LOW, (k1 + _W1) & _LOW
    return c0, c1, c2, c3


@compiled
def uniform(seed: int, position: int) -> float:
    """The number in [0, 1) at a position of a seed's stream: 53 random bits."""
    key, counter = np.uint64(seed), np.uint64(position)
    zero = np.uint64(0)
    a, b, _, _ = philox(counter & _LOW, counter >> _32, zero, zero, key & _LOW, key >> _32)
    bits = (a << np.uint64(21)) ^ (b >> np.uint64(11))
    return float(bits) * _53_BITS
