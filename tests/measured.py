"""Whether what was measured of some rows is the same, array by array."""

from __future__ import annotations

import numpy as np

from model.decoding.measure import Measured


def same_measures(one: Measured, other: Measured) -> bool:
    return all(np.array_equal(getattr(one, name), getattr(other, name)) for name in Measured._fields)
