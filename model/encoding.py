"""A corpus as training sees it: a vocabulary and one array of indices in the smallest type that holds them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from model.corpus import Corpus, TextRules
from model.vocabulary import Vocabulary


@dataclass(frozen=True)
class EncodedCorpus:
    """`indices` has shape (characters,) and may lie in a file on disk (a memory map)."""

    name: str
    sha256: str
    rules: TextRules
    vocabulary: Vocabulary
    indices: npt.NDArray[Any]


def index_type(vocab_size: int) -> type[np.unsignedinteger[Any]]:
    """The smallest unsigned type for indices 0 … vocab_size − 1."""
    return next(t for t in (np.uint8, np.uint16, np.uint32) if vocab_size - 1 <= np.iinfo(t).max)


def encode(corpus: Corpus, rules: TextRules) -> EncodedCorpus:
    """A text in memory, with the rules that it was read by."""
    vocabulary = Vocabulary.from_text(corpus.text)
    indices = vocabulary.encode(corpus.text).astype(index_type(len(vocabulary)))
    return EncodedCorpus(corpus.name, corpus.sha256, rules, vocabulary, indices)
