"""A document as it is stored: its name and its bytes. Knows nothing of what they mean."""

from __future__ import annotations

import io
import os
import stat
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import IO

from model.errors import CorpusError, brief

EMBEDDED = ("lyrics",)
STANDARD_INPUT = ("-", "/dev/stdin")
State = tuple[int, int]


@dataclass(frozen=True)
class Document:
    """`name` is for people; `open` is called once.

    - encoding: that of a corpus of ours, which no option changes.
    - found: it was found in a folder or a zip, and no person named it: what is no text is left out, not refused.
    """

    name: str
    open: Callable[[], AbstractContextManager[IO[bytes]]]
    encoding: str | None = None
    found: bool = False


class Checked(io.RawIOBase):
    """A stream, after bytes of it that were read already, whose errors are sentences. Counts its bytes in `count`.

    most: bytes after which it ends, that a file which grows does not go on for ever.
    """

    def __init__(self, name: str, stream: IO[bytes], head: bytes = b"", most: int | None = None) -> None:
        self.name, self.count = name, 0
        self._stream, self._head, self._most = stream, head, most

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        data = self._head[: len(buffer)]
        self._head = self._head[len(data) :]
        data = data or self.take(len(buffer) if self._most is None else min(len(buffer), self._most - self.count))
        buffer[: len(data)] = data
        self.count += len(data)
        return len(data)

    def take(self, size: int) -> bytes:
        """The stream's next bytes; b"" at its end."""
        try:
            data = self._stream.read(size)
        except (OSError, ValueError) as error:
            raise unreadable(self.name, error) from error
        if data is None:
            raise CorpusError(f"{self.name}: cannot be read (it gives nothing yet, and does not wait)")
        return data


def is_folder(path: Path) -> bool:
    return os.path.isdir(path)  # Path.is_dir raises for a name that is too long


def file(path: Path) -> AbstractContextManager[IO[bytes]]:
    """A file, a pipe or a device. Raises CorpusError where it cannot be opened."""
    try:
        return path.open("rb")
    except FileNotFoundError:
        raise CorpusError(
            f"{brief(path)}: no such file, and no embedded corpus of that name ({', '.join(EMBEDDED)})"
        ) from None
    except (OSError, ValueError) as error:
        raise unreadable(brief(path), error) from error


@contextmanager
def embedded(name: str) -> Iterator[IO[bytes]]:
    with resources.files("model.text").joinpath("corpora").joinpath(f"{name}.txt").open("rb") as stream:
        yield stream


@contextmanager
def standard_input() -> Iterator[IO[bytes]]:
    """What is left of standard input, from where it stands; it stays open."""
    if sys.stdin is None:
        raise CorpusError("standard input: cannot be read (it is closed)")
    yield io.BufferedReader(Checked("standard input", sys.stdin.buffer))


def unreadable(name: str, error: OSError | ValueError) -> CorpusError:
    return CorpusError(f"{name}: cannot be read ({getattr(error, 'strerror', None) or brief(error)})")


def state(stream: IO[bytes]) -> State | None:
    """What differs once a file was written to: its size and its time. None for what is no file."""
    try:
        found = os.fstat(stream.fileno())
    except (OSError, ValueError):  # io.UnsupportedOperation is both
        return None
    return (found.st_size, found.st_mtime_ns) if stat.S_ISREG(found.st_mode) else None


@contextmanager
def written_in(folder: Path | None) -> Iterator[None]:
    """Makes the folder (None: that for temporary files), and a sentence of what keeps it from being written in."""
    try:
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)
        yield
    except OSError as error:
        place = brief(folder or tempfile.gettempdir())
        raise CorpusError(f"{place}: the text cannot be kept there while it is read ({error.strerror})") from error
