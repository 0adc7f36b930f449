"""A corpus as training sees it: a vocabulary and one array of indices in the smallest type that holds them.

A text is read once, piece by piece. What is large lies in files on disk meanwhile, and its indices to the end, so that
memory does not grow with it.
"""

from __future__ import annotations

import codecs
import hashlib
import tempfile
from collections.abc import Iterable
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from model.arrays import Unsigneds
from model.errors import CorpusError
from model.text.corpus import Corpus, utf8
from model.text.pieces import Folding, cut
from model.text.reader import PIECE_BYTES, Reader
from model.text.rules import TextRules
from model.text.source import Reading, Source
from model.text.stored import written_in
from model.text.vocabulary import Vocabulary

LARGE_BYTES = 32 * 2**20  # texts from this size on, in UTF-8, lie on disk


@dataclass(frozen=True)
class EncodedCorpus:
    """`indices` has shape (characters,) and may lie in a file on disk (a memory map)."""

    name: str
    sha256: str
    rules: TextRules
    vocabulary: Vocabulary
    indices: Unsigneds
    source: Source = Source(())  # noqa: RUF009 - frozen
    reading: Reading = field(default_factory=Reading)


def index_type(vocab_size: int) -> type[np.unsignedinteger[Any]]:
    """The smallest unsigned type for indices 0 … vocab_size − 1."""
    return next(t for t in (np.uint8, np.uint16, np.uint32) if vocab_size - 1 <= np.iinfo(t).max)


def encode(corpus: Corpus, rules: TextRules) -> EncodedCorpus:
    """A text in memory, with the rules that it was read by."""
    vocabulary = Vocabulary.from_text(corpus.text)
    indices = vocabulary.encode(corpus.text).astype(index_type(len(vocabulary)))
    return EncodedCorpus(corpus.name, corpus.sha256, rules, vocabulary, indices)


def open_corpus(source: Source, rules: TextRules, folder: Path | None = None) -> EncodedCorpus:
    """What a person named. `folder` is where what is large lies; None: where temporary files do.

    Raises CorpusError for anything that cannot be read, decoded, cut (see `pieces.cut`) or kept.
    """
    reader, folding = Reader(source, folder), Folding(rules, source.max_chars)
    characters: set[str] = set()
    digest, length, size = hashlib.sha256(), 0, 0
    with _kept(folder) as text, closing(reader.texts()) as texts:
        for piece in folding.pieces(cut(texts, reader.name)):
            data = utf8(piece, reader.name)
            characters.update(piece)
            digest.update(data)
            length, size = length + len(piece), size + len(data)
            with written_in(folder if size >= LARGE_BYTES else None):
                text.write(data)
        if not length:
            raise CorpusError(f"{reader.name} is empty")
        vocabulary = Vocabulary(sorted(characters))
        text.seek(0)
        pieces = codecs.iterdecode(iter(lambda: text.read(PIECE_BYTES), b""), "utf-8")
        if size >= LARGE_BYTES:
            with written_in(folder):
                indices = _on_disk(pieces, vocabulary, length, folder)
        else:
            indices = _in_memory(pieces, vocabulary, length)
    reading = replace(
        reader.reading, line_ends=folding.line_ends, capitals=folding.capitals, line_starts=dict(folding.line_starts)
    )
    return EncodedCorpus(reader.name, digest.hexdigest(), rules, vocabulary, indices, source, reading)


def _kept(folder: Path | None) -> tempfile.SpooledTemporaryFile[bytes]:
    """A file for the text, in memory until it is large."""
    return tempfile.SpooledTemporaryFile(LARGE_BYTES - 1, dir=None if folder is None else str(folder))


def _in_memory(pieces: Iterable[str], vocabulary: Vocabulary, length: int) -> Unsigneds:
    indices, at = np.empty(length, index_type(len(vocabulary))), 0
    for piece in pieces:
        indices[at : at + len(piece)] = vocabulary.encode(piece)
        at += len(piece)
    return indices


def _on_disk(pieces: Iterable[str], vocabulary: Vocabulary, length: int, folder: Path | None) -> Unsigneds:
    dtype = index_type(len(vocabulary))
    with tempfile.TemporaryFile(dir=folder) as file:  # it has no name, and is gone once nothing maps it
        for piece in pieces:
            file.write(vocabulary.encode(piece).astype(dtype).tobytes())
        file.flush()
        return np.memmap(file, dtype=dtype, mode="r", shape=(length,))
