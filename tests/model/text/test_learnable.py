"""Nothing that cannot be learned from is trained on without a word."""

from __future__ import annotations

from random import Random

import pytest

from model.errors import CorpusError
from model.text.learnable import check_learnable, doubts
from tests.model.text.test_facts import PROSE, drawn, encoded, of

HAN = "".join(map(chr, range(0x4E00, 0x4F00)))
_random = Random(0)
IDENTIFIERS = "".join(f"{_random.getrandbits(64):016x}\n" for _ in range(500))  # all lines differ


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("aaaa", "text: holds nothing but 'a' (U+0061), 4 times: there is nothing to learn"),
        ("\n" * 1200, "text: holds nothing but U+000A, 1,200 times: there is nothing to learn"),
        ("分", "text: holds nothing but '分' (U+5206), once: there is nothing to learn"),
    ],
)
def test_one_character_is_refused(text: str, message: str) -> None:
    with pytest.raises(CorpusError) as refused:
        check_learnable(encoded(text))
    assert str(refused.value) == message


def test_two_characters_are_not_refused() -> None:
    check_learnable(encoded("ab"))


@pytest.mark.parametrize(
    ("text", "sentences"),
    [
        (HAN, ["no character stands twice: what follows what cannot be learned"]),
        (
            HAN + " " * 20,
            ["most characters stand once: what follows them can hardly be learned"],
        ),
        (drawn(4000, "abcdefgh"), ["nearly random: what comes next can hardly be learned from it"]),
        (IDENTIFIERS, ["nearly random: what comes next can hardly be learned from it"]),
        (PROSE * 4, ["nearly all of it is repeated passages: a model learns them by heart"]),
        ('{"a": 1, "a": 11, "a": 1}', ["looks like JSON: it is trained on as it stands, marks and all"]),
        (PROSE, []),
        ("Anna\nBerta\nÇiğdem\nClara\n", []),
        (drawn(300, "abcdefgh"), []),  # too short to tell
    ],
)  # fmt: skip
def test_what_cannot_be_learned_is_said(text: str, sentences: list[str]) -> None:
    assert doubts(of(text)) == sentences
