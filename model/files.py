"""Files of tensors: written whole or not at all, with their own digest; read without trusting whoever made them.

Only regular files are read, and never more than was asked for: nothing is read or allocated on the word of a number
that the file alone claims. Knows nothing of what a file is for.

Longer than a page because what is written and what is refused when it is read must be the same format.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import re
import secrets
import stat
import struct
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import safetensors.numpy

from model.arrays import Untyped
from model.errors import CheckpointError, brief

_NO_DIGEST = "0" * 64  # stands in the digest's place while the digest is computed
FILE_MODE = 0o644  # less what the umask takes away
START_BYTES = 4096  # of a file, in which its digest stands: the names of metadata are sorted


def serialise(arrays: Mapping[str, Untyped], metadata: Mapping[str, str]) -> tuple[bytes, str]:
    """A safetensors file with its own SHA-256 in the metadata's `digest`, and that digest.

    The digest is of the whole file with 64 zeros in the digest's place. The same arrays and metadata give the same
    bytes: the library writes metadata in a random order, so the header is written again with sorted keys.
    """
    contiguous = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    data = safetensors.numpy.save(contiguous, {**metadata, "digest": _NO_DIGEST})
    header, tensors = _split(data)
    text = json.dumps(json.loads(bytes(header)), ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)  # tensors begin at a multiple of 8 bytes
    start = struct.pack("<Q", len(text)) + text
    unsigned = hashlib.sha256(start)
    unsigned.update(tensors)
    digest, at = unsigned.hexdigest(), _digest_offset(start, _NO_DIGEST)
    return b"".join((start[:at], digest.encode(), start[at + len(digest) :], tensors)), digest


def read_metadata(data: bytes, name: str) -> dict[str, str]:
    """The metadata of a safetensors file, unverified. Raises CheckpointError where there is none."""
    try:
        header, _ = _split(data)
        metadata = json.loads(bytes(header))["__metadata__"]
        if not all(isinstance(value, str) for value in metadata.values()):
            raise TypeError("metadata that is not text")
    except (struct.error, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise CheckpointError(f"{name}: is not a safetensors file, or is cut short ({brief(error)})") from error
    return dict(metadata)


def stated_digest(start: bytes) -> str:
    """The digest that the first bytes of a file state, unverified; "" where they state none."""
    stated = re.search(rb'"digest":"([0-9a-f]{64})"', start)
    return stated[1].decode() if stated else ""


def verify_digest(data: bytes, metadata: Mapping[str, str], name: str) -> None:
    """Raises CheckpointError unless the metadata's digest is that of the bytes."""
    digest = metadata.get("digest", "")
    at = _digest_offset(data, digest) if re.fullmatch("[0-9a-f]{64}", digest) else -1
    if at >= 0:
        unsigned = hashlib.sha256(data[:at])
        unsigned.update(_NO_DIGEST.encode())
        unsigned.update(memoryview(data)[at + len(digest) :])
        if unsigned.hexdigest() == digest:
            return
    raise CheckpointError(f"{name}: is damaged, its digest does not match its contents")


def _digest_offset(data: bytes, digest: str) -> int:
    key = b'"digest":"'
    at = data.find(key + digest.encode() + b'"')
    return at + len(key) if at >= 0 else -1


def _split(data: bytes) -> tuple[memoryview, memoryview]:
    """Header and tensors, not copied: a run's arrays are many times what its model is."""
    (length,) = struct.unpack_from("<Q", data)
    if length > len(data) - 8:
        raise ValueError("its header is longer than the file")
    view = memoryview(data)
    return view[8 : 8 + length], view[8 + length :]


def write_atomically(path: Path, data: bytes, verify: Any = None) -> None:
    """Writes through a temporary file in the same folder: fsynced, read back, verified, renamed, folder fsynced."""
    temporary: Path | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}.tmp")
        # mkstemp's mode of 0600 would keep a server under another user from reading it, whatever the umask allows.
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, FILE_MODE)
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        read = temporary.read_bytes()
        if read != data:
            raise CheckpointError(f"{path}: not saved, the disk gave back other bytes than were written")
        if verify is not None:
            verify(read)
        os.replace(temporary, path)
        temporary = None
        sync_folder(path.parent)
    except OSError as error:
        raise CheckpointError(f"{path}: not saved ({error.strerror}); the file that stood there is kept") from error
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


def sync_folder(folder: Path) -> None:
    """Waits until the names in a folder are on disk: a rename before it outlives a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


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
