"""`compiled`: Numba's `njit` with its results kept on disk where there is a place to keep them.

A container with a read-only file system has none; there the functions are compiled again at each start, but for what
whoever made the folder of the sources has kept beside them.

Numba takes a result for good as long as the file of its function is the same, whatever has become of the functions it
calls in other files. So results are kept in a folder whose name is made of all sources that hold compiled functions,
wherever it lies; folders of this package's earlier sources are removed when a new one is made.
"""

from __future__ import annotations

import contextlib
import fcntl
import functools
import glob
import hashlib
import logging
import os
import re
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import numba
from numba.core.caching import FunctionCache, NullCache
from numba.misc.appdirs import AppDirs

F = TypeVar("F", bound=Callable[..., Any])
LOCK_S = 10.0  # after which a result is not kept; the process that holds the lock was stopped
_SOURCES = Path(__file__).parent.parent  # all of model: compiled code inlines what stands anywhere in it
_MARK = re.compile(rb"compiled|contracted")  # the decorators' names: each source of compiled code imports one of them
_PROCESSOR = "processor.py"  # holds no compiled code, but says how wide the constants are that compiled code freezes
_one_at_a_time = threading.Lock()

log = logging.getLogger(__name__)


def compiled(function: F) -> F:
    """Compiled at the first call, without Python's lock while it runs. Arithmetic in the order it is written."""
    return kept(function)


def kept(function: F, **options: Any) -> F:
    """`numba.njit(function, nogil=True, **options)`, its results kept."""
    result = numba.njit(function, nogil=True, **options)
    with _one_at_a_time:
        place, given = _place(), numba.config.CACHE_DIR
        if place is None:
            result._cache = _Nowhere()
        else:
            numba.config.CACHE_DIR = str(place)
            try:
                result._cache = _Cache(function)
            except RuntimeError as error:  # no longer a place to keep it
                log.debug("not kept: %s", error)
            finally:
                numba.config.CACHE_DIR = given
    return result  # type: ignore[no-any-return]


@functools.cache
def _say(level: int, words: str) -> None:
    """Once in a process."""
    log.log(level, words)


def _say_that_it_compiles() -> None:
    _say(logging.INFO, "compiling what is not kept compiled yet; this can take a minute")


def _say_that_nothing_is_kept(reason: str) -> None:
    _say(
        logging.WARNING,
        f"what is compiled cannot be kept ({reason}) and is compiled again at each start; "
        "set NUMBA_CACHE_DIR to a folder that can be written",
    )


class _Nowhere(NullCache):  # type: ignore[misc]
    """Where there is no place to keep results."""

    def load_overload(self, sig: Any, target_context: Any) -> None:
        _say_that_it_compiles()

    def save_overload(self, sig: Any, data: Any) -> None:
        _say_that_nothing_is_kept(f"neither beside {_SOURCES} nor in the user's cache")


class _Locator(FunctionCache._impl_class._locator_classes[0]):  # type: ignore[misc]
    """Of a folder that may be somebody else's, to read only."""

    def ensure_cache_path(self) -> None:
        with contextlib.suppress(OSError):
            super().ensure_cache_path()


class _Impl(FunctionCache._impl_class):  # type: ignore[misc]
    _locator_classes = (_Locator,)


class _Cache(FunctionCache):  # type: ignore[misc]
    """Numba's own, where it is right about several processes and where a disk is full or a file damaged.

    To save is to read an index, write it and write a file of code that it names. Of two processes that do so at once
    one's index can come to name the other's code. That a result cannot be read or kept must not end a call either.
    """

    _impl_class = _Impl

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        try:
            result = super().load_overload(sig, target_context)
        except Exception as error:  # unpickling a damaged file can raise anything
            log.warning("compiled results in %s cannot be read (%r); compiling again", self.cache_path, error)
            return None
        if result is None:
            _say_that_it_compiles()
        return result

    def save_overload(self, sig: Any, data: Any) -> None:
        try:
            self._impl.locator.ensure_cache_path()
            with _alone_in(Path(self.cache_path)):
                self._save(sig, data)
        except BlockingIOError:  # the next start keeps it
            pass
        except OSError as error:
            _say_that_nothing_is_kept(f"{self.cache_path}: {error.strerror}")

    def _save(self, sig: Any, data: Any) -> None:
        try:
            super().save_overload(sig, data)
        except OSError:
            raise
        except Exception:  # a damaged index names nothing any more, so nothing that it named may stay
            for file in Path(self.cache_path).glob(glob.escape(self._impl.filename_base) + ".*"):
                file.unlink()
            super().save_overload(sig, data)


@contextlib.contextmanager
def _alone_in(folder: Path) -> Iterator[None]:
    """While no other process writes there. Raises OSError where one does for LOCK_S."""
    with (folder / "lock").open("w") as file:
        end = time.monotonic() + LOCK_S
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > end:
                    raise
                time.sleep(0.01)
        yield


@functools.cache
def _place() -> Path | None:
    """The folder that results of these very sources are kept in: where NUMBA_CACHE_DIR says, else beside the sources,
    else among the user's caches. Where none can be written, the one beside the sources, which is read as they are."""
    own = hashlib.sha256(str(_SOURCES).encode()).hexdigest()[:16]  # several copies of the package share the last two
    given = [Path(numba.config.CACHE_DIR) / f"nextchar-{own}"] if numba.config.CACHE_DIR else []
    user = Path(AppDirs(appname="nextchar", appauthor=False).user_cache_dir) / f"compiled-{own}"
    beside = _SOURCES / "__pycache__" / "numba"
    for place in (*given, beside, *([user] if user.is_absolute() else [])):
        folder = place / _digest()
        try:
            new = not folder.exists()
            folder.mkdir(parents=True, exist_ok=True)
            tempfile.TemporaryFile(dir=folder).close()
        except OSError:
            continue
        if new:
            for old in place.iterdir():
                if re.fullmatch("[0-9a-f]{16}", old.name) and old != folder:
                    shutil.rmtree(old, ignore_errors=True)
        return folder
    return beside / _digest() if os.path.isdir(beside / _digest()) else None


@functools.cache
def _digest() -> str:
    digest = hashlib.sha256(numba.__version__.encode())
    for source in sorted(_SOURCES.rglob("*.py")):
        text = source.read_bytes()
        if source.name == _PROCESSOR or _MARK.search(text):
            digest.update(text)
    return digest.hexdigest()[:16]
