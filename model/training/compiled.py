"""Compilation of the loops that NumPy has no one call for."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar, cast

import numba

F = TypeVar("F", bound=Callable[..., object])


def compiled(function: F) -> F:
    """Machine code, kept on disk between runs; it lets other threads run.

    Of the fast-math licences only fused multiply-add is taken: NaN and infinity stay what they are, and nothing is
    reordered, so the same input gives the same bytes.
    """
    return cast(F, numba.njit(cache=True, nogil=True, error_model="numpy", fastmath={"contract"})(function))
