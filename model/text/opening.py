"""What a document turns out to be once its first bytes were read: its kind, and the stream that its text is in."""

from __future__ import annotations

import codecs
import io
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from model.errors import CorpusError
from model.text import archives, stored
from model.text.kinds import Kind, kind_of
from model.text.misread import wide_without_mark
from model.text.stored import Checked, Document

HEAD_BYTES = 2**16  # by which the kind and the encoding are told
MAX_PARSED_BYTES = 64 * 2**20  # of what is no plain text, and is read in one


class NotTextError(CorpusError):
    """It is of a kind that holds no text, or none that is read where it was found."""


@dataclass(frozen=True)
class Opened:
    """kind: as `kinds.kind_of` has it, but never "gzip", which is unpacked. head: the first bytes of `stream`, which
    is at its start; that of a zip can be searched."""

    name: str
    kind: Kind
    head: bytes
    stream: IO[bytes]

    def whole(self) -> bytes:
        data = self.stream.read(MAX_PARSED_BYTES + 1)
        if len(data) > MAX_PARSED_BYTES:
            raise CorpusError(
                f"{self.name}: has more than {MAX_PARSED_BYTES // 2**20} MB, which is read of plain text only; "
                "save it as plain text first"
            )
        return data


@contextmanager
def opened(document: Document, folder: Path | None) -> Iterator[Opened]:
    """Raises CorpusError where it cannot be read or was written to meanwhile, NotTextError for its kind."""
    name = document.name
    with ExitStack() as stack:
        raw = stack.enter_context(document.open())
        before = stored.state(raw)
        size = before[0] if before else None
        packed = io.BufferedReader(Checked(name, raw, most=size or None))  # what /proc has says that it has 0 bytes
        head = packed.read(HEAD_BYTES)
        kind = _kind_of(name, head)
        if kind == "zip" and document.found:
            raise NotTextError(f"{name}: is a zip within a folder or a zip; give it by itself")
        if kind == "zip":
            stream = raw if raw.seekable() else stack.enter_context(_spooled(head, packed, folder))
            stream.seek(0)
        elif kind == "gzip":
            unpacked = stack.enter_context(archives.gunzipped(name, head, packed))
            head = unpacked.read(HEAD_BYTES)
            kind = _kind_of(name, head)
            if kind in ("zip", "gzip"):
                raise NotTextError(f"{name}: holds a {kind} file; unpack it first")
            stream = io.BufferedReader(Checked(name, unpacked, head))
        else:
            stream = io.BufferedReader(Checked(name, packed, head))
        if kind == "text" and document.found and _is_binary(head):
            raise NotTextError(f"{name}: is a binary file")
        yield Opened(name, kind, head, stream)
        if stored.state(raw) != before:
            raise CorpusError(f"{name}: changed while it was read; train on a copy of it")


def _kind_of(name: str, head: bytes) -> Kind:
    try:
        return kind_of(name, head)
    except CorpusError as error:
        raise NotTextError(str(error)) from None


def _is_binary(head: bytes) -> bool:
    """Whether it has zero bytes that are no halves of characters."""
    marked = head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE, codecs.BOM_UTF32_BE))
    return b"\0" in head and not marked and wide_without_mark(head) is None


@contextmanager
def _spooled(head: bytes, rest: IO[bytes], folder: Path | None) -> Iterator[IO[bytes]]:
    """A stream as a file that can be searched; it has no name, and is gone once it is closed."""
    with stored.written_in(folder):
        file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 - closed below
    with file:
        with stored.written_in(folder):
            file.write(head)
            shutil.copyfileobj(rest, file)
        yield file
