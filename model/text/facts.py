"""What is in a text that is to be trained on: characters, scripts, lines, what repeats, what one character foretells.

Characters are counted in all of it, the rest in its first EXAMINED characters, so that a hundred million take seconds.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np
import regex

from model.arrays import Int64s, Places, Unsigneds
from model.text.encoding import EncodedCorpus
from model.text.markup import markup
from model.text.vocabulary import Vocabulary

EXAMINED = 1_000_000  # characters
PASSAGE = 32  # characters, a power of two; so long a passage seldom recurs by chance
RAREST = 8  # characters that are named
OTHER = "other scripts"
# Those in common use today: Unicode Standard Annex 31, table 5.
SCRIPTS = (
    "Arabic", "Armenian", "Bengali", "Bopomofo", "Cyrillic", "Devanagari", "Ethiopic", "Georgian", "Greek", "Gujarati",
    "Gurmukhi", "Han", "Hangul", "Hebrew", "Hiragana", "Kannada", "Katakana", "Khmer", "Lao", "Latin", "Malayalam",
    "Myanmar", "Oriya", "Sinhala", "Tamil", "Telugu", "Thaana", "Thai", "Tibetan",
)  # fmt: skip
_SCRIPT = regex.compile("|".join(rf"(?P<{script}>\p{{Script={script}}})" for script in SCRIPTS))
_LETTER = regex.compile(r"[\p{L}\p{M}]")
_OF_NO_SCRIPT = regex.compile(r"[\p{Script=Common}\p{Script=Inherited}]")
_CHUNK = 2**22  # characters that are counted at once
_COUNTED = 20  # times that a character must stand in a text on average before pairs of them say something
_FEW = 1000  # characters; of fewer, pairs say nothing


@dataclass(frozen=True)
class Lines:
    """Of the lines that are not blank. repeated: the share that stands again, whole, before."""

    median: int  # characters
    longest: int
    repeated: float


@dataclass(frozen=True)
class Facts:
    characters: int
    distinct: int
    once: int  # characters that stand once
    rarest: tuple[tuple[str, int], ...]  # each with how often it stands
    scripts: tuple[tuple[str, float], ...]  # by share of the letters, largest first
    num_lines: int  # 0 where the text has no line ends
    examined: int  # characters, the first ones; what follows is of these
    lines: Lines | None  # None where there are none
    repeated: float  # share of characters in passages of PASSAGE or more that stand elsewhere too
    foretold: float | None  # share of what is uncertain of a character that the one before settles; None: too few
    markup: str | None  # which kind it looks like


def facts_of(corpus: EncodedCorpus) -> Facts:
    vocabulary, indices = corpus.vocabulary, corpus.indices
    counts = _counts(indices, len(vocabulary))
    first = np.asarray(indices[:EXAMINED])
    text = vocabulary.decode(first)
    line_end = vocabulary.characters.index("\n") if "\n" in vocabulary.characters else None
    return Facts(
        characters=len(indices),
        distinct=len(vocabulary),
        once=int((counts == 1).sum()),
        rarest=tuple((vocabulary.characters[i], int(counts[i])) for i in np.argsort(counts, kind="stable")[:RAREST]),
        scripts=_scripts(vocabulary, counts),
        num_lines=0 if line_end is None else int(counts[line_end]) + (int(indices[-1]) != line_end),
        examined=len(first),
        lines=None if line_end is None else _lines(text),
        repeated=_repeated(first),
        foretold=_foretold(first, len(vocabulary)),
        markup=markup(text),
    )


def _counts(indices: Unsigneds, vocab_size: int) -> Int64s:
    """How often each index stands in the text. Piece by piece: `bincount` makes its argument eight times as large."""
    counts = np.zeros(vocab_size, np.int64)
    for start in range(0, len(indices), _CHUNK):
        counts += np.bincount(indices[start : start + _CHUNK], minlength=vocab_size)
    return counts


def _scripts(vocabulary: Vocabulary, counts: Int64s) -> tuple[tuple[str, float], ...]:
    found = Counter[str]()
    for character, count in zip(vocabulary.characters, counts.tolist(), strict=True):
        if _LETTER.match(character) and not _OF_NO_SCRIPT.match(character):
            script = _SCRIPT.match(character)
            found[script.lastgroup if script else OTHER] += count
    letters = found.total()
    return tuple((script, count / letters) for script, count in found.most_common())


def _lines(text: str) -> Lines | None:
    lines = [line for line in text.split("\n") if line.strip()]
    if not lines:
        return None
    lengths = np.array([len(line) for line in lines])
    return Lines(int(np.median(lengths)), int(lengths.max()), 1 - len(set(lines)) / len(lines))


def _repeated(indices: Unsigneds) -> float:
    """Passages are told apart by a hash: that of a passage is made of those of its halves."""
    hashes, length = indices.astype(np.uint64) + np.uint64(1), 1
    factor = np.uint64(0x9E3779B97F4A7C15)
    if len(hashes) <= PASSAGE:
        return 0.0
    while length < PASSAGE:
        hashes = hashes[:-length] * factor + hashes[length:]
        hashes ^= hashes >> np.uint64(29)
        length *= 2
    _, which, counts = np.unique(hashes, return_inverse=True, return_counts=True)
    begins = (counts[which] > 1).astype(np.int64)
    depth = np.zeros(len(indices) + 1, np.int64)  # how much more passages that repeat cover a place than the one before
    depth[: len(begins)] += begins
    depth[PASSAGE : PASSAGE + len(begins)] -= begins
    return float((np.cumsum(depth)[:-1] > 0).mean())


def _foretold(indices: Unsigneds, vocab_size: int) -> float | None:
    """By the entropy of pairs, against that of the same characters in random order, which few pairs make too low."""
    if len(indices) < max(_FEW, _COUNTED * vocab_size):
        return None
    single = _entropy(np.bincount(indices))
    ordered = _entropy_of_pairs(indices, vocab_size) - single
    shuffled = _entropy_of_pairs(np.random.default_rng(0).permutation(indices), vocab_size) - single
    return float(1 - ordered / shuffled) if shuffled > 0 else None


def _entropy_of_pairs(indices: Unsigneds, vocab_size: int) -> float:
    pairs = indices[:-1].astype(np.int64) * vocab_size + indices[1:]
    return _entropy(np.unique(pairs, return_counts=True)[1])


def _entropy(counts: Places) -> float:
    """In nats, of what was counted so often."""
    shares = counts[counts > 0] / counts.sum()
    return float(-(shares * np.log(shares)).sum())
