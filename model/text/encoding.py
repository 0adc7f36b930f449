"""A corpus as training sees it: a vocabulary and one array of indices in the smallest type that holds them.

A text in memory is encoded there. A large file is read twice, piece by piece, and its indices lie in a file on disk,
so that memory does not grow with it.
"""

from __future__ import annotations

import hashlib
import tempfile
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from model.arrays import Unsigneds
from model.errors import CorpusError
from model.text.corpus import EMBEDDED, Corpus, check_max_chars, read_corpus, utf8
from model.text.pieces import open_text, read_pieces
from model.text.rules import TextRules
from model.text.source import Reading, Source
from model.text.vocabulary import Vocabulary

LARGE_BYTES = 32 * 2**20  # files from this size on are streamed


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
    """What a person named, streamed where it is large. `folder` is where the indices of a large one lie."""
    (corpus,) = source.corpora
    path = Path(corpus)
    if corpus not in EMBEDDED and path.is_file() and path.stat().st_size >= LARGE_BYTES:
        with open_text(path) as file:
            zipped = file.read(4) in (b"PK\x03\x04", b"PK\x05\x06")
        if not zipped:
            return replace(stream(path, rules, source.encoding, source.max_chars, folder), source=source)
    return replace(encode(read_corpus(corpus, rules, source.encoding, source.max_chars), rules), source=source)


def stream(
    path: Path, rules: TextRules, encoding: str = "utf-8", max_chars: int | None = None, folder: Path | None = None
) -> EncodedCorpus:
    """What `encode(read_corpus(path, …))` gives, in memory that does not grow with the text.

    Raises CorpusError as that does, and for a text that cannot be cut (see `normalisation.last_cut`) for too long: one
    that goes on without end in combining marks, points or capital sigmas.
    """
    check_max_chars(max_chars)
    characters: set[str] = set()
    digest, length = hashlib.sha256(), 0
    for piece in read_pieces(path, rules, encoding, max_chars):
        characters.update(piece)
        digest.update(utf8(piece, path.name))
        length += len(piece)
    if not length:
        raise CorpusError(f"{path.name} is empty")
    vocabulary = Vocabulary(sorted(characters))
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
    dtype = index_type(len(vocabulary))
    with tempfile.TemporaryFile(dir=folder) as file:  # it has no name, and is gone once nothing maps it
        for piece in read_pieces(path, rules, encoding, max_chars):
            file.write(vocabulary.encode(piece).astype(dtype).tobytes())
        file.flush()
        indices = np.memmap(file, dtype=dtype, mode="r", shape=(length,))
    return EncodedCorpus(path.name, digest.hexdigest(), rules, vocabulary, indices)
