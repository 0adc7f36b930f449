"""A large file, piece by piece, each piece as if the whole had been read."""

from __future__ import annotations

import codecs
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from model.errors import CorpusError
from model.text.corpus import codec_of
from model.text.normalisation import last_cut
from model.text.rules import TextRules

PIECE_BYTES = 2**20
UNCUT_CHARS = 2 * 2**20  # a text with no place to cut it in so many characters is refused


def read_pieces(path: Path, rules: TextRules, encoding: str, max_chars: int | None) -> Iterator[str]:
    """The normalised text in pieces, each but the last ending where the rules can be applied apart.

    max_chars: of the whole; None for all. Raises CorpusError for bytes that do not decode, and for a text without a
    place to cut it.
    """
    left = max_chars
    for raw in _decoded(path, encoding):
        piece = rules.apply(raw)[:left]
        if left is not None:
            left -= len(piece)
        if piece:
            yield piece
        if left == 0:
            return


def _decoded(path: Path, encoding: str) -> Iterator[str]:
    decoder = codecs.getincrementaldecoder(codec_of(encoding))()
    kept, read = "", 0
    with open_text(path) as file:
        while True:
            data = file.read(PIECE_BYTES)
            try:
                kept += decoder.decode(data, final=not data)
            except UnicodeError as error:
                raise CorpusError(
                    f"{path.name}: is not {encoding} within {PIECE_BYTES} bytes of {read} ({error})"
                ) from None
            read += len(data)
            if not data:
                break
            cut = last_cut(kept)
            if cut:
                yield kept[:cut]
                kept = kept[cut:]
            elif len(kept) > UNCUT_CHARS:
                raise CorpusError(
                    f"{path.name}: has {len(kept):,} characters before byte {read:,} without a place to cut it; "
                    "they are combining marks, points or the like"
                )
    yield kept


def open_text(path: Path) -> BinaryIO:
    """Raises CorpusError where it cannot be read."""
    try:
        return path.open("rb")
    except OSError as error:
        raise CorpusError(f"{path}: cannot be read ({error.strerror})") from error
