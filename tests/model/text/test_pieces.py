from __future__ import annotations

import sys
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.text import pieces
from model.text.pieces import Folding, cut
from model.text.rules import TextRules


def test_a_text_without_a_place_to_cut_it_is_looked_at_again_only_once_it_has_doubled(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    looked_at: list[int] = []

    def last_cut(text: str) -> int:
        looked_at.append(len(text))
        return 0

    monkeypatch.setattr(pieces, "last_cut", last_cut)
    assert list(cut(["." * 10] * 100, "text")) == ["." * 1000]
    assert looked_at == [10, 20, 40, 80, 160, 320, 640]


@given(st.lists(st.text("ab\n␃ .Σ", max_size=6)), st.none() | st.integers(1, 20))
def test_line_starts_are_those_of_the_whole_wherever_pieces_end(texts: list[str], max_chars: int | None) -> None:
    folding = Folding(TextRules(lowercase=False), max_chars)
    assert "".join(folding.pieces(texts)) == "".join(texts).replace("\n", " ")[:max_chars]
    lines = "".join(texts)[:max_chars].replace("␃", "\n").split("\n")
    assert folding.line_starts == Counter(line[0] for line in lines if line)
    assert folding.line_ends == "".join(texts)[:max_chars].count("\n")
    assert folding.capitals == 0


def test_each_character_that_lower_case_changes_is_counted_once() -> None:
    every = [chr(code) for code in range(sys.maxunicode + 1) if not 0xD800 <= code < 0xE000]
    changed = [c for c in every if c != c.lower()]
    assert {c for c in changed if len(c.lower()) > 1} == {"İ"}
    text = " ".join(c for c in changed if TextRules(lowercase=False).apply(c) == c)
    folding = Folding(TextRules())
    assert "".join(folding.pieces([text])) == TextRules().apply(text)
    assert folding.capitals == len(text.split(" "))
