from __future__ import annotations

import sys
import unicodedata
from collections.abc import Callable
from functools import cache
from typing import Literal

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from model.text import normalisation
from model.text.normalisation import LONG_RUN, last_cut, nfc


@cache
def every() -> list[str]:
    return [chr(code) for code in range(sys.maxunicode + 1)]


@cache
def marks() -> list[str]:
    return [c for c in every() if unicodedata.combining(unicodedata.normalize("NFD", c)[0])]


RUNS = st.deferred(
    lambda: st.lists(st.sampled_from(marks()), min_size=LONG_RUN - 2, max_size=3 * LONG_RUN).map("".join)
)
AWKWARD = st.sampled_from(
    ["a", "é", "ᄀ", "가", "Σ", "İ", "'", ".", " ", "\r", "\n", "\r\n", "分", "\u0344", "\u0f73", "ʰ", "\u0bbe"]
)
TEXTS = st.lists(st.text() | RUNS | AWKWARD, max_size=8).map("".join)


@pytest.mark.no_cover
@given(TEXTS)
def test_it_is_unicodes_own_form(text: str) -> None:
    assert nfc(text) == unicodedata.normalize("NFC", text)


def test_all_marks_are_known() -> None:
    table = normalisation._is_mark()
    assert [chr(code) for code in np.flatnonzero(table)] == marks()


@pytest.mark.parametrize("before", ["", "a", "e\u0301", "가", "\u1100"])
def test_every_mark_in_a_long_run_comes_out_as_unicode_has_it(before: str) -> None:
    for mark in marks():
        text = before + (mark + "\u0301\u0327") * LONG_RUN
        assert nfc(text) == unicodedata.normalize("NFC", text)


def steps(monkeypatch: pytest.MonkeyPatch, text: str) -> int:
    """Exchanges that sorting the marks of a text by insertion makes, of all that is handed to `unicodedata`."""
    count = 0

    def counted(form: Literal["NFC", "NFD", "NFKC", "NFKD"], given: str) -> str:
        nonlocal count
        before: list[int] = []  # classes of the marks since the last starter, in order
        for c in "".join(normalize("NFD", c) for c in given):
            own = unicodedata.combining(c)
            if own == 0:
                before = []
                continue
            at = len(before)
            while at and before[at - 1] > own:
                at -= 1
            count += 1 + len(before) - at
            before.insert(at, own)
        return normalize(form, given)

    normalize = unicodedata.normalize
    with monkeypatch.context() as patch:
        patch.setattr(unicodedata, "normalize", counted)
        nfc(text)
    return count


@pytest.mark.parametrize(
    "text",
    [
        "a" + "\u0301\u0327" * 5000,
        "\u0301" * 5000 + "\u0327" * 5000,
        "\u0f73" * 5000,
        "é" + "\u0344\u0327" * 3000,
        ("\u0301\u0327" * (LONG_RUN // 2) + "a") * 300,
        lambda: "".join(reversed(marks())) * 10,  # not while tests are collected, which each worker does
    ],
    ids=["alternating", "two blocks", "decomposing", "composed", "short runs", "all marks"],
)
def test_the_work_grows_with_the_text_and_not_with_its_square(
    text: str | Callable[[], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    nfc("\u0301" * 100)  # what is made once
    made = text if isinstance(text, str) else text()
    assert steps(monkeypatch, made) < 20 * len(made)


def applied(text: str) -> str:
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", text).lower())


@pytest.mark.no_cover
@given(TEXTS)
@example("ΑΣ|Α")
@example("a\u0301" * 4)
def test_the_parts_of_a_cut_text_are_what_the_whole_is(text: str) -> None:
    at = last_cut(text)
    assert applied(text[:at]) + applied(text[at:]) == applied(text)
    assert text[at - 1 : at + 1] != "\r\n"
    assert 0 <= at < max(len(text), 1)


@pytest.mark.no_cover
@pytest.mark.parametrize("one_in", [13, pytest.param(1, marks=pytest.mark.slow)])
def test_a_cut_before_any_character_joins_nothing_to_what_stands_before_it(one_in: int) -> None:
    seconds = {form[1] for c in every() if len(form := unicodedata.normalize("NFD", c)) == 2}
    for c in every()[::one_in]:
        if last_cut("a" + c):
            assert unicodedata.combining(unicodedata.normalize("NFD", c)[0]) == 0, hex(ord(c))
            assert unicodedata.normalize("NFD", c)[0] not in seconds, hex(ord(c))
            # A character that a sigma's form is decided past: after a letter it is final, after a digit it is not.
            assert (("1" + c + "Σ").lower()[-1], ("A" + c + "Σ").lower()[-1]) != ("σ", "ς"), hex(ord(c))


@pytest.mark.parametrize(
    "text", ["ACGT" * 100, "分开" * 100, "1" * 100, "가나다" * 50, "a b c" * 20, "é" * 100, "дом" * 50]
)
def test_text_of_any_script_can_be_cut_near_its_end(text: str) -> None:
    assert last_cut(text) == len(text) - 1


@pytest.mark.parametrize("text", ["", "a", "\u0301" * 100, "ΣΣΣΣ", "....", "\r\n", "ΑΣ.'"])
def test_what_cannot_be_cut_is_not(text: str) -> None:
    assert last_cut(text) == 0
