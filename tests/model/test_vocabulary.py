from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.errors import UnknownCharactersError
from model.vocabulary import Vocabulary


@given(st.text(min_size=1))
def test_decoding_what_was_encoded_gives_the_text_back(text: str) -> None:
    vocabulary = Vocabulary.from_text(text)
    indices = vocabulary.encode(text)
    assert indices.dtype == np.int32
    assert vocabulary.decode(indices) == text


@given(st.text(), st.text())
def test_encoding_agrees_with_a_plain_dictionary(corpus: str, text: str) -> None:
    vocabulary = Vocabulary.from_text(corpus)
    table = {c: i for i, c in enumerate(sorted(set(corpus)))}
    unknown = [c for c in text if c not in table]
    if unknown:
        with pytest.raises(UnknownCharactersError) as caught:
            vocabulary.encode(text)
        assert {c: [i for i, d in enumerate(text) if d == c] for c in unknown} == caught.value.positions
    else:
        assert vocabulary.encode(text).tolist() == [table[c] for c in text]
    assert vocabulary.known(text) == "".join(c for c in text if c in table)


def test_the_order_is_that_of_code_points_whatever_the_order_of_the_text() -> None:
    assert Vocabulary.from_text("cab\U0001f600开") == Vocabulary.from_text("开\U0001f600bca")
    assert Vocabulary.from_text("cab").characters == ("a", "b", "c")


@pytest.mark.parametrize("characters", [["b", "a"], ["a", "a"], ["ab"], [""]])
def test_characters_out_of_order_or_not_single_are_refused(characters: list[str]) -> None:
    with pytest.raises(ValueError, match="vocabulary"):
        Vocabulary(characters)


def test_unknown_characters_are_named_with_their_positions() -> None:
    with pytest.raises(UnknownCharactersError) as caught:
        Vocabulary.from_text("ab").encode("axb\nx")
    assert caught.value.positions == {"x": [1, 4], "\n": [3]}
    assert str(caught.value) == (
        "the model has never seen these characters: 'x' (U+0078) at positions 1, 4, U+000A at position 3"
    )


def test_a_lone_surrogate_is_an_unknown_character_like_any_other() -> None:
    with pytest.raises(UnknownCharactersError, match=r"U\+D800 at position 1"):
        Vocabulary.from_text("ab").encode("a\ud800")


def test_an_index_outside_the_vocabulary_is_a_bug() -> None:
    with pytest.raises(AssertionError):
        Vocabulary.from_text("ab").decode([0, 2])
