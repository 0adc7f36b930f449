"""A text in memory, for what measures and scores one.

Knows nothing of indices or batches. Serving shares only the rules (`rules`): a prefix is normalised exactly as the
corpus was.
"""

from __future__ import annotations

import hashlib
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from model.errors import CorpusError
from model.text.pieces import Folding, cut
from model.text.reader import Reader
from model.text.rules import TextRules
from model.text.source import Source


@dataclass(frozen=True)
class Corpus:
    """A normalised text. `name` is for people, `sha256` is of the normalised text's UTF-8."""

    name: str
    text: str
    sha256: str


def read_corpus(
    source: str | Path | Source, rules: TextRules | None = None, encoding: str = "utf-8", max_chars: int | None = None
) -> Corpus:
    """Reads what a person named. `encoding` and `max_chars` are those of a path or a name; a Source has its own.

    max_chars cuts the text after normalisation, as the chapter's `corpus_chars[:20000]` does.

    Raises CorpusError for anything that cannot be read.
    """
    if not isinstance(source, Source):
        source = Source((str(source),), encoding, max_chars=max_chars)
    reader = Reader(source)
    with closing(reader.texts()) as texts:
        text = "".join(Folding(rules or TextRules(), source.max_chars).pieces(cut(texts, reader.name)))
    if not text:
        raise CorpusError(f"{reader.name} is empty")
    return Corpus(reader.name, text, hashlib.sha256(utf8(text, reader.name)).hexdigest())


def read_text(source: str | Path | Source, encoding: str = "utf-8") -> tuple[str, str]:
    """The name of a source and its text as it was written, before any rule; all of it. Raises as `read_corpus`."""
    reader = Reader(source if isinstance(source, Source) else Source((str(source),), encoding))
    return reader.name, "".join(reader.texts())


def utf8(text: str, name: str) -> bytes:
    """The bytes that a text's digest is of. Raises CorpusError for what some encodings decode to and none can show."""
    try:
        return text.encode()
    except UnicodeEncodeError as error:
        raise CorpusError(f"{name}: holds half of a surrogate pair (U+{ord(text[error.start]):04X})") from None
