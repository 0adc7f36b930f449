from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from model.arrays import zero_state
from model.config import ModelConfig


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_state_of_nothing_read_is_an_array_of_zeros_for_each_name(dtype: type[np.floating[Any]]) -> None:
    for cell, count in (("rnn", 2), ("gru", 2), ("lstm", 4)):
        state = zero_state(ModelConfig(cell, 2, 5, 9).state_names, 3, 5, dtype)
        assert [(array.shape, array.dtype) for array in state] == [((3, 5), np.dtype(dtype))] * count
        assert not any(array.any() for array in state)
        state[0][:] = 1  # none shares its memory with another
        assert not any(array.any() for array in state[1:])
