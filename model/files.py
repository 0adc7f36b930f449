"""Reads safetensors files that anybody may have put there: regular files only, and never more than was asked for.

Nothing is read or allocated on the word of a number that the file alone claims. Knows nothing of what a file is for.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from model.errors import CheckpointError

MAX_HEADER_BYTES = 2**24  # a vocabulary of all of Unicode takes 10 MB
_PREFIX_BYTES = 8  # the header's length, before the header


@contextlib.contextmanager
def open_regular(file: Path) -> Iterator[BinaryIO]:
    """A regular file, open for reading; what is renamed over it meanwhile changes nothing.

    Raises CheckpointError at once for anything else: a pipe would be waited for, a device may never end.
    """
    try:
        _refuse_irregular(file, os.stat(file))  # before it is opened, which some devices take as an order
        descriptor = os.open(file, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(descriptor, "rb") as opened:
            _refuse_irregular(file, os.fstat(descriptor))  # another may have come in between
            yield opened
    except FileNotFoundError:
        raise CheckpointError(f"{file}: no such file") from None
    except OSError as error:
        raise CheckpointError(f"{file}: cannot be read ({error.strerror})") from error
    except ValueError as error:  # a name that no file can have
        raise CheckpointError(f"{file}: cannot be read ({error})") from error


def read_header(opened: BinaryIO, file: Path) -> bytes:
    """The file's start up to where its tensors begin. Raises CheckpointError where there is no such place."""
    start = opened.read(_PREFIX_BYTES)
    if len(start) < _PREFIX_BYTES:
        raise CheckpointError(f"{file}: is not a safetensors file, or is cut short ({len(start)} bytes)")
    (length,) = struct.unpack("<Q", start)
    most = min(MAX_HEADER_BYTES, os.fstat(opened.fileno()).st_size - _PREFIX_BYTES)
    if length > most:
        raise CheckpointError(
            f"{file}: is not a safetensors file, or is cut short "
            f"(its header claims {length:,} bytes, it has at most {max(most, 0):,})"
        )
    return start + opened.read(length)


def read_tensors(opened: BinaryIO, file: Path, header: bytes, tensor_bytes: int) -> bytes:
    """The whole file, whose header was read, where it has so many bytes of tensors."""
    has, expected = os.fstat(opened.fileno()).st_size, len(header) + tensor_bytes
    if has != expected:
        raise CheckpointError(f"{file}: has {has:,} bytes, its configuration says {expected:,}; it is damaged")
    if tensor_bytes > 2 * _written(opened.fileno(), len(header), has):
        raise CheckpointError(f"{file}: was never written in full, most of it is a hole")
    try:
        data = header + opened.read(tensor_bytes)
    except MemoryError:
        raise CheckpointError(f"{file}: has {has:,} bytes, there is no memory for them") from None
    if len(data) != expected:
        raise CheckpointError(f"{file}: was cut short while it was read")
    return data


def _refuse_irregular(file: Path, found: os.stat_result) -> None:
    if not stat.S_ISREG(found.st_mode):
        kinds = {stat.S_IFDIR: "a folder", stat.S_IFIFO: "a pipe", stat.S_IFSOCK: "a socket"}
        kind = kinds.get(stat.S_IFMT(found.st_mode), "a device")
        raise CheckpointError(f"{file}: is {kind}, it must be a regular file")


def _written(descriptor: int, start: int, end: int) -> int:
    """Bytes from start to end that are no hole; the count ends once they are half of all."""
    place = os.lseek(descriptor, 0, os.SEEK_CUR)
    at, written = start, 0
    try:
        while at < end and 2 * written < end - start:
            data = os.lseek(descriptor, at, os.SEEK_DATA)
            at = os.lseek(descriptor, data, os.SEEK_HOLE)
            written += at - data
    except OSError as error:
        if error.errno != errno.ENXIO:  # a file system that does not tell; ENXIO: nothing but a hole follows
            return end - start
    finally:
        os.lseek(descriptor, place, os.SEEK_SET)
    return written
