from __future__ import annotations

import pytest

from model.config import GATES
from model.errors import OptionError, UnknownCharactersError
from model.text.rules import TextRules
from tests.book import book_predict
from tests.models import random_checkpoint
from tests.reference import needs_mxnet, predict_rnn

pytestmark = needs_mxnet


@pytest.mark.parametrize("cell", GATES)
@pytest.mark.parametrize("layers", [1, 2])
def test_the_text_is_the_books_computed_in_float64(cell: str, layers: int) -> None:
    checkpoint = random_checkpoint(cell, layers, scale=4.0, seed=layers)
    for prefix in ("分开", "战争中部队", "a"):
        assert predict_rnn(prefix, 25, checkpoint) == book_predict(prefix, 25, checkpoint)


@pytest.mark.parametrize("num_chars", [0, 1, 7])
def test_exactly_num_chars_new_characters_are_written(num_chars: int) -> None:
    text = predict_rnn("不分开", num_chars, random_checkpoint())
    assert text.startswith("不分开")
    assert len(text) == 3 + num_chars


def test_the_prefix_is_read_as_the_corpus_was() -> None:
    assert predict_rnn("AB\nC", 5, random_checkpoint()) == predict_rnn("ab c", 5, random_checkpoint())
    with pytest.raises(UnknownCharactersError, match="'A'"):
        predict_rnn("AB", 5, random_checkpoint(rules=TextRules(lowercase=False)))


def test_a_longer_text_begins_with_the_shorter() -> None:
    checkpoint = random_checkpoint("lstm", scale=4.0)
    assert predict_rnn("a", 40, checkpoint).startswith(predict_rnn("a", 15, checkpoint))


def test_bad_requests_are_named() -> None:
    with pytest.raises(OptionError, match=r"^prefix: is empty"):
        predict_rnn("", 5, random_checkpoint())
    with pytest.raises(OptionError, match=r"^num_chars: -1"):
        predict_rnn("a", -1, random_checkpoint())
    with pytest.raises(UnknownCharactersError, match="'é'"):
        predict_rnn("aé", 5, random_checkpoint())
