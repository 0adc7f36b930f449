from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.errors import UnknownCharactersError
from model.text.vocabulary import Vocabulary


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


@pytest.mark.parametrize(
    ("characters", "message"),
    [
        (["b", "a"], "is in the order of code points"),
        (["a", "a"], "names each character once"),
        (["ab"], "holds single characters"),
        ([""], "holds single characters"),
        (["a", 7], "holds single characters"),
        ([b"a"], "holds single characters"),
        (["\ud800"], "half of a surrogate pair"),
        (["a", "\udfff"], "half of a surrogate pair"),
    ],
)
def test_characters_out_of_order_or_not_single_are_refused(characters: list[Any], message: str) -> None:
    with pytest.raises(ValueError, match=f"^a vocabulary .*{message}"):
        Vocabulary(characters)


def test_characters_next_to_the_surrogates_are_characters() -> None:
    vocabulary = Vocabulary(["\ud7ff", "\ue000"])
    assert vocabulary.encode("\ue000\ud7ff").tolist() == [1, 0]


@given(st.text(), st.text())
def test_vocabularies_are_equal_where_they_hold_the_same_characters(one: str, other: str) -> None:
    a, b = Vocabulary.from_text(one), Vocabulary.from_text(other)
    assert (a == b) == (set(one) == set(other))
    assert len(a) == len(set(one))
    assert a == Vocabulary.from_text(one[::-1] + one)
    assert hash(a) == hash(Vocabulary.from_text(one[::-1]))


def test_a_vocabulary_is_not_its_characters() -> None:
    assert Vocabulary.from_text("ab") != ("a", "b")


def test_different_vocabularies_are_told_apart_by_their_hashes() -> None:
    assert len({hash(Vocabulary.from_text(text)) for text in ("", "a", "b", "ab", "分")}) > 1


def test_unknown_characters_are_named_with_their_positions() -> None:
    with pytest.raises(UnknownCharactersError) as caught:
        Vocabulary.from_text("ab").encode("axb\nx")
    assert caught.value.positions == {"x": [1, 4], "\n": [3]}
    assert str(caught.value) == (
        "the model has never seen these characters: 'x' (U+0078) at positions 1, 4, U+000A at position 3"
    )


def test_what_is_known_of_a_text_stays_in_its_order() -> None:
    assert Vocabulary.from_text("ab").known("xbaxxab!") == "baab"


def test_a_lone_surrogate_is_an_unknown_character_like_any_other() -> None:
    with pytest.raises(UnknownCharactersError, match=r"U\+D800 at position 1"):
        Vocabulary.from_text("ab").encode("a\ud800")


@pytest.mark.parametrize("indices", [[0, 2], [-1, 0], [2], np.array([1, 3])])
def test_an_index_outside_the_vocabulary_is_a_bug(indices: list[int]) -> None:
    with pytest.raises(AssertionError):
        Vocabulary.from_text("ab").decode(indices)


def test_no_indices_are_no_text_and_no_characters_know_none() -> None:
    assert Vocabulary.from_text("ab").decode([]) == ""
    nothing = Vocabulary([])
    assert nothing.decode([]) == ""
    assert nothing.encode("").shape == (0,)
    assert nothing.known("ab") == ""
