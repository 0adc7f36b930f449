"""Names of the array types that modules hand to each other: one name, one type.

A name says what an array holds and, by its ending, how many dimensions it has: none for one, `2D`, `3D`. The ending is
for the reader. NumPy's types do not know dimensions, so a type checker takes `Float32s` and `Float32s2D` for the same.
Where arrays of several dimensions come together, as in a dictionary of parameters, the name without an ending stands.
"""

from __future__ import annotations

from collections.abc import Sized
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

Float32s = npt.NDArray[np.float32]
Float32s2D = npt.NDArray[np.float32]
Float32s3D = npt.NDArray[np.float32]
Float64s = npt.NDArray[np.float64]
Float64s2D = npt.NDArray[np.float64]
Int32s = npt.NDArray[np.int32]
Int32s2D = npt.NDArray[np.int32]
Int64s = npt.NDArray[np.int64]
Int64s2D = npt.NDArray[np.int64]
Bytes = npt.NDArray[np.uint8]
UInt32s = npt.NDArray[np.uint32]
UInt64s = npt.NDArray[np.uint64]
Bools = npt.NDArray[np.bool_]
Bools2D = npt.NDArray[np.bool_]
Places = npt.NDArray[np.intp]  # as `np.flatnonzero` gives them
# The indices of a whole text, in the smallest type that holds them.
Unsigneds = npt.NDArray[np.unsignedinteger[Any]]
Unsigneds2D = npt.NDArray[np.unsignedinteger[Any]]
# What training computes with: float32, or float64 where a test wants to see further.
Reals = npt.NDArray[np.floating[Any]]
Reals2D = npt.NDArray[np.floating[Any]]
Reals3D = npt.NDArray[np.floating[Any]]
RealType = np.dtype[np.floating[Any]]
# What the products of `kernels` read: Reals, or pairs of bfloat16, each pair in an int32.
Words = npt.NDArray[np.floating[Any] | np.int32]
Words2D = npt.NDArray[np.floating[Any] | np.int32]
Words3D = npt.NDArray[np.floating[Any] | np.int32]
# Whose type only a run shows: a column of a table, a tensor of a file.
Untyped = npt.NDArray[Any]

State = tuple[Float32s2D, ...]  # of an engine's rows, one array per name of `ModelConfig.state_names`
RealState = tuple[Reals2D, ...]  # the same of a backend's rows

Real = TypeVar("Real", bound=np.floating[Any])


def zero_state(
    names: Sized, rows: int, width: int, dtype: type[Real] | np.dtype[Real]
) -> tuple[npt.NDArray[Real], ...]:
    """The state of rows that have read nothing: one array (rows, width) per name."""
    return tuple(np.zeros((rows, width), dtype) for _ in range(len(names)))
