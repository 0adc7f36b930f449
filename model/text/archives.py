"""Zips and gzip files as streams; nothing is unpacked to disk, and nothing that grows without measure is unpacked."""

from __future__ import annotations

import gzip
import io
import lzma
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from pathlib import PurePosixPath
from typing import IO

from model.errors import CorpusError, brief
from model.text.folders import LeftOut, in_order, is_of_system
from model.text.stored import Checked, Document

MAX_RATIO = 100  # unpacked to packed
CERTAIN_BYTES = 64 * 2**20  # unpacked; before, a file that begins with a long repetition may still be an honest one
_ENCRYPTED_FLAG = 0x1  # general purpose bit 0 of a zip member
_ERRORS = (
    zipfile.BadZipFile, zlib.error, lzma.LZMAError, NotImplementedError, EOFError, OSError, RuntimeError, ValueError,
)  # fmt: skip


@contextmanager
def zip_of(name: str, file: IO[bytes]) -> Iterator[zipfile.ZipFile]:
    try:
        archive = zipfile.ZipFile(file)
    except _ERRORS as error:
        raise CorpusError(f"{name}: is not a readable zip ({brief(error)})") from error
    with archive:
        yield archive


def members(name: str, archive: zipfile.ZipFile) -> tuple[list[Document], LeftOut]:
    """The files in a zip, in natural order, and what is left out of it with why."""
    documents: list[Document] = []
    left_out: LeftOut = []
    unpacked_bytes = 0
    for member in sorted(archive.infolist(), key=lambda m: in_order(PurePosixPath(m.filename).parts)):
        parts = PurePosixPath(member.filename).parts
        if member.is_dir() or any(map(is_of_system, parts)):
            continue
        shown = f"{name}/{brief(member.filename)}"
        if any(part.startswith(".") for part in parts):
            left_out.append((shown, "is hidden"))
            continue
        if member.flag_bits & _ENCRYPTED_FLAG:
            raise CorpusError(f"{shown}: is encrypted; unpack it first, then give the folder or file")
        # Sizes are claims of the zip; no more than what is claimed is ever unpacked.
        unpacked_bytes += member.file_size
        _check_growth(shown, member.file_size, max(member.compress_size, 1))
        documents.append(Document(shown, partial(_opened, shown, archive, member), found=True))
    _check_growth(name, unpacked_bytes, _size(archive))
    return documents, left_out


def _size(archive: zipfile.ZipFile) -> int:
    assert archive.fp is not None, "the zip is closed"
    return archive.fp.seek(0, io.SEEK_END)


class Unpacked(Checked):
    def take(self, size: int) -> bytes:
        try:
            return self._stream.read(size)
        except _ERRORS as error:
            raise CorpusError(f"{self.name}: cannot be unpacked ({brief(error)})") from error

    def close(self) -> None:
        self._stream.close()
        super().close()


class _Gunzipped(Unpacked):
    def __init__(self, name: str, packed: Checked) -> None:
        super().__init__(name, gzip.GzipFile(fileobj=io.BufferedReader(packed)))  # type: ignore[arg-type]
        self._packed = packed

    def take(self, size: int) -> bytes:
        data = super().take(size)
        unpacked_bytes = self.count + len(data)
        if not data or unpacked_bytes > CERTAIN_BYTES:
            _check_growth(self.name, unpacked_bytes, self._packed.count)
        return data


def gunzipped(name: str, head: bytes, packed: IO[bytes]) -> IO[bytes]:
    """What is in a gzip file whose first bytes were read already."""
    return io.BufferedReader(_Gunzipped(name, Checked(name, packed, head)))


def _opened(name: str, archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> AbstractContextManager[IO[bytes]]:
    try:
        return io.BufferedReader(Unpacked(name, archive.open(member)))
    except _ERRORS as error:
        raise CorpusError(f"{name}: cannot be unpacked ({brief(error)})") from error


def _check_growth(name: str, unpacked_bytes: int, packed_bytes: int) -> None:
    if unpacked_bytes > MAX_RATIO * packed_bytes:
        raise CorpusError(
            f"{name}: grows more than {MAX_RATIO} times when unpacked; unpack it first, then give the folder or file"
        )
