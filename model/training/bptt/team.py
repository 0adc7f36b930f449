"""Threads that share out rows or columns, one per core, each with a BLAS of its own.

The pieces are the same for a given number of threads, and what they compute does not depend on it but for sums that
BLAS splits; so the same machine gives the same bytes.
"""

from __future__ import annotations

import ctypes
import functools
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

MAX_THREADS = 16
_GRAIN = 4  # rows per block of the small product


def num_threads() -> int:
    """The cores that this process may use."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(cores, MAX_THREADS)


class Team:
    def __init__(self, threads: int | None = None) -> None:
        self.threads = threads or num_threads()
        self._pool = ThreadPoolExecutor(self.threads, thread_name_prefix="training") if self.threads > 1 else None
        _one_thread_per_product()

    def share(self, size: int, work: Callable[[int, int], Any], grain: int = _GRAIN) -> None:
        """Calls work(lo, hi) for pieces that make up 0 … size − 1, at the same time; raises what one of them raises."""
        each = -(-size // (self.threads * grain)) * grain
        pieces = [(lo, min(lo + each, size)) for lo in range(0, size, each)]
        if self._pool is None or len(pieces) == 1:
            for lo, hi in pieces:
                work(lo, hi)
            return
        rest = [self._pool.submit(work, lo, hi) for lo, hi in pieces[1:]]
        work(*pieces[0])
        for piece in rest:
            piece.result()

    def dot(self, A: npt.NDArray[Any], B: npt.NDArray[Any], out: npt.NDArray[Any]) -> None:
        """out = A B, its rows shared out. `out` is C-contiguous."""
        self.share(len(out), lambda lo, hi: np.dot(A[lo:hi], B, out=out[lo:hi]), grain=16)


@functools.cache
def _one_thread_per_product() -> None:
    """Tells NumPy's OpenBLAS to compute in the thread that asks.

    Its own threads wait for work by spinning, which takes the cores from ours. Where NumPy has another BLAS there is
    nothing to tell: it works, at most slower.
    """
    for library in (Path(np.__file__).parent.parent / "numpy.libs").glob("libopenblas*"):
        loaded = ctypes.CDLL(str(library))
        for name in ("openblas_set_num_threads64_", "openblas_set_num_threads"):
            if hasattr(loaded, name):
                getattr(loaded, name)(1)
                break
