"""`compiled`: Numba's `njit` with its results kept on disk where there is a place to keep them.

A container with a read-only file system has none; there the functions are compiled again at each start.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import numba

F = TypeVar("F", bound=Callable[..., Any])


def compiled(function: F) -> F:
    """Compiled at the first call, without Python's lock while it runs. Arithmetic in the order it is written."""
    try:
        result = numba.njit(function, cache=True, nogil=True)
    except RuntimeError:  # "no locator available": nowhere to keep it
        result = numba.njit(function, nogil=True)
    return result  # type: ignore[no-any-return]
