"""Characters ↔ indices. Knows nothing of files or batches."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from model.arrays import Bools, Int32s, Int64s, UInt32s, Unsigneds
from model.errors import UnknownCharactersError


class Vocabulary:
    """The distinct characters of a text in the order of their code points; a character's index is its place.

    The order depends on the text alone: two runs over one corpus give the same indices.
    """

    def __init__(self, characters: Iterable[str]) -> None:
        self.characters: tuple[str, ...] = tuple(characters)
        if any(type(c) is not str or len(c) != 1 for c in self.characters):
            raise ValueError("a vocabulary holds single characters")
        if any("\ud800" <= c <= "\udfff" for c in self.characters):
            raise ValueError("a vocabulary holds whole characters; half of a surrogate pair cannot be written as UTF-8")
        if list(self.characters) != sorted(set(self.characters)):
            raise ValueError("a vocabulary is in the order of code points and names each character once")
        self._codes = _code_points("".join(self.characters))

    @classmethod
    def from_text(cls, text: str) -> Vocabulary:
        return cls(sorted(set(text)))

    def __len__(self) -> int:
        return len(self.characters)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Vocabulary) and self.characters == other.characters

    def __hash__(self) -> int:
        return hash(self.characters)

    def encode(self, text: str) -> Int32s:
        """Indices of the text's characters, shape (len(text),), int32.

        Raises UnknownCharactersError naming every unknown character with its positions.
        """
        indices, known = self._lookup(text)
        if not known.all():
            positions: dict[str, list[int]] = {}
            for at in np.flatnonzero(~known).tolist():
                positions.setdefault(text[at], []).append(at)
            raise UnknownCharactersError(positions)
        return indices

    def known(self, text: str) -> str:
        """The text without the characters that the vocabulary does not hold."""
        _, known = self._lookup(text)
        return text if known.all() else "".join(c for c, k in zip(text, known.tolist(), strict=True) if k)

    def decode(self, indices: Sequence[int] | Int32s | Int64s | Unsigneds) -> str:
        """The text of a sequence of indices. An index outside 0 … V − 1 is a bug of the caller's."""
        characters = self.characters
        values = np.asarray(indices)
        assert values.size == 0 or (values.min() >= 0 and values.max() < len(characters)), "index outside vocabulary"
        return "".join([characters[i] for i in values.tolist()])

    def _lookup(self, text: str) -> tuple[Int32s, Bools]:
        codes = _code_points(text)
        places = np.searchsorted(self._codes, codes)
        inside = np.minimum(places, max(len(self._codes) - 1, 0))
        known = self._codes[inside] == codes if len(self._codes) else np.zeros(len(codes), np.bool_)
        return inside.astype(np.int32), known


def _code_points(text: str) -> UInt32s:
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype="<u4")
