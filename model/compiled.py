"""`compiled`: Numba's `njit` with its results kept on disk where there is a place to keep them.

A container with a read-only file system has none; there the functions are compiled again at each start.

Numba takes a result for good as long as the file of its function is the same, whatever has become of the functions it
calls in other files. So results are kept in a folder whose name is made of all sources that hold compiled functions.
"""

from __future__ import annotations

import functools
import hashlib
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import numba

F = TypeVar("F", bound=Callable[..., Any])
_SOURCES = Path(__file__).parent
_one_at_a_time = threading.Lock()


def compiled(function: F) -> F:
    """Compiled at the first call, without Python's lock while it runs. Arithmetic in the order it is written."""
    return kept(function)


def kept(function: F, **options: Any) -> F:
    """`numba.njit(function, nogil=True, **options)`, its results kept."""
    with _one_at_a_time:
        given = numba.config.CACHE_DIR
        numba.config.CACHE_DIR = str(Path(given or _SOURCES / "__pycache__" / "numba") / _digest())
        try:
            result = numba.njit(function, cache=True, nogil=True, **options)
        except RuntimeError:  # "no locator available": nowhere to keep it
            result = numba.njit(function, nogil=True, **options)
        finally:
            numba.config.CACHE_DIR = given
    return result  # type: ignore[no-any-return]


@functools.cache
def _digest() -> str:
    digest = hashlib.sha256()
    for source in sorted(_SOURCES.rglob("*.py")):
        text = source.read_bytes()
        if b"compiled" in text:
            digest.update(text)
    return digest.hexdigest()[:16]
