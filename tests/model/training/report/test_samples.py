from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.config import ModelConfig
from model.text.corpus import Corpus
from model.text.encoding import EncodedCorpus, encode
from model.text.rules import TextRules
from model.text.vocabulary import Vocabulary
from model.training import TrainingOptions
from model.training.report import samples as writing

LETTERS = "abcde"
CONFIG = ModelConfig("rnn", 1, 1, len(LETTERS))


class Adding:
    """A backend whose next character is the sum of all that were read, modulo the number of characters."""

    weights = np.zeros(1, np.float16)

    def step(self, ids: Any, state: tuple[Any, ...]) -> tuple[Any, tuple[Any, ...]]:
        (total,) = state
        assert (ids.dtype, ids.shape, total.shape) == (np.int32, (1,), (1, 1))
        assert total.dtype == self.weights.dtype
        total = (total + ids[:, None]).astype(total.dtype)
        logits = np.zeros((1, len(LETTERS)))
        logits[0, int(total[0, 0]) % len(LETTERS)] = 1
        return logits, (total,)


def corpus(text: str) -> EncodedCorpus:
    return encode(Corpus("test", text, "0" * 64), TextRules())


@given(st.text(LETTERS, min_size=1, max_size=9), st.integers(1, 12))
def test_writing_goes_on_from_all_that_was_read(prefix: str, num_chars: int) -> None:
    expected = prefix
    for _ in range(num_chars):
        expected += LETTERS[sum(map(LETTERS.index, expected)) % len(LETTERS)]
    assert writing.write(Adding(), CONFIG, Vocabulary.from_text(LETTERS), prefix, num_chars) == expected  # type: ignore[arg-type]


def test_a_sample_goes_on_from_a_prefix_as_the_text_is_read() -> None:
    text = corpus(LETTERS * 9)
    (found,) = writing.samples(Adding(), CONFIG, text, TrainingOptions(prefixes=("AB",), pred_len=30), 7)  # type: ignore[arg-type]
    written = writing.write(Adding(), CONFIG, text.vocabulary, "ab", 30)  # type: ignore[arg-type]
    assert (found.epoch, found.prefix, found.text) == (7, "AB", written)
    windows = [written[i : i + 20] for i in range(13)]
    assert found.memorised == pytest.approx(sum(window in LETTERS * 9 for window in windows) / 13)
    several = writing.samples(Adding(), CONFIG, text, TrainingOptions(pred_len=2), 1)  # type: ignore[arg-type]
    assert [sample.prefix for sample in several] == list(writing.default_prefixes(text))
    assert {len(sample.text) for sample in several} == {4}


WIDE = Vocabulary(chr(0x4E00 + i) for i in range(300))
IDS = st.sampled_from([0x0000, 0x0001, 0x0100, 0x0101])  # two bytes each; across them stand the others


@given(st.lists(IDS, min_size=1, max_size=30), st.lists(IDS, min_size=1, max_size=8), st.integers(1, 3))
def test_windows_are_compared_character_by_character(text: list[int], written: list[int], window: int) -> None:
    stretches = [text[i : i + window] for i in range(len(text) - window + 1)]
    windows = [written[i : i + window] for i in range(len(written) - window + 1)]
    expected = sum(part in stretches for part in windows) / len(windows) if windows else None
    whole = EncodedCorpus("wide", "0" * 64, TextRules(), WIDE, np.array(text, np.uint16))
    assert writing.memorised(WIDE.decode(written), whole, window) == expected


def test_samples_begin_as_three_places_of_the_text_do() -> None:
    assert writing.default_prefixes(corpus("abcdefghijkl")) == ("ab", "ef", "ij")
    assert writing.default_prefixes(corpus("abababababab")) == ("ab",)


@given(st.text("ab", min_size=1, max_size=60), st.text("ab", min_size=1, max_size=12), st.integers(1, 5))
def test_the_share_that_stands_in_the_corpus_is_that_of_its_windows(text: str, written: str, window: int) -> None:
    # The last character's index needs more than a byte only where the vocabulary does; "b" makes both be known.
    text += "ab"
    windows = [written[i : i + window] for i in range(len(written) - window + 1)]
    expected = sum(part in text for part in windows) / len(windows) if windows else None
    assert writing.memorised(written, corpus(text), window) == expected


def test_a_window_is_not_found_between_two_indices() -> None:
    # Two bytes an index: 0x0100 0x0001 holds the bytes of 0x0001 at an odd place.
    vocabulary = Vocabulary(chr(0x4E00 + i) for i in range(300))
    indices = np.array([0x0100, 0x0100], np.uint16)
    whole = EncodedCorpus("two", "0" * 64, TextRules(), vocabulary, indices)
    assert writing.memorised(vocabulary.decode([0x0001]), whole, 1) == 0.0
    assert writing.memorised(vocabulary.decode([0x0100]), whole, 1) == 1.0


def test_windows_are_of_twenty_characters_and_a_huge_text_is_not_searched(monkeypatch: pytest.MonkeyPatch) -> None:
    text = "a" * 19 + "b" * 30
    assert writing.memorised("a" * 19, corpus(text)) is None
    assert writing.memorised("a" * 20, corpus(text)) == 0.0
    assert writing.memorised("a" * 19 + "b", corpus(text)) == 1.0
    monkeypatch.setattr(writing, "MAX_SEARCHED", 48)
    assert writing.memorised("a" * 20, corpus(text)) is None
    monkeypatch.setattr(writing, "MAX_SEARCHED", 49)
    assert writing.memorised("a" * 20, corpus(text)) == 0.0
