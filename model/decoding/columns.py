"""A table of rows that come and go: one NumPy array per column, the rows that are there side by side at its start.

What is done to all rows is then one operation on an array, however many rows there are.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from model.arrays import Places, Untyped


class Columns:
    def __init__(self, types: Mapping[str, npt.DTypeLike], capacity: int = 16) -> None:
        self.size = 0
        self._arrays = {name: np.zeros(capacity, dtype) for name, dtype in types.items()}

    def __getitem__(self, name: str) -> Untyped:
        """The column as it is now; writing into it writes into the table. Good until rows are added or dropped."""
        return self._arrays[name][: self.size]

    def add(self, values: Mapping[str, Any]) -> None:
        """One row, with a value for each column."""
        assert values.keys() == self._arrays.keys()
        for name, array in self._arrays.items():
            if self.size == len(array):
                self._arrays[name] = array = np.concatenate([array, np.zeros_like(array)])
            array[self.size] = values[name]
        self.size += 1

    def keep(self, places: Places) -> None:
        """Only the rows at these places stay, in that order."""
        for array in self._arrays.values():
            array[: len(places)] = array[places]
        self.size = len(places)
