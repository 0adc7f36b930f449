"""Names of the array types that engines, decoding and the service hand to each other."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
Indices = npt.NDArray[np.int64]
State = tuple[Floats, ...]
