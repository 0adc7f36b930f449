from __future__ import annotations

from itertools import pairwise

import pytest
import regex
from hypothesis import example, given
from hypothesis import strategies as st

from model.errors import OptionError
from model.text.boundaries import CONTEXT_CHARS, ENDS, MAX_BEYOND, BoundaryWatcher, check_end, most_chars
from model.text.vocabulary import Vocabulary

FAMILY = "\U0001f468\u200d\U0001f469\u200d\U0001f467"  # man, woman, girl, joined
FLAGS = "\U0001f1e9\U0001f1ea\U0001f1eb\U0001f1f7"  # D E F R
HANGUL = "\u1100\u1161\u11a8"  # three jamo of one syllable
CONJUNCT = "\u0915\u094d\u0937\u093f"  # ka, virama, ssa, i
THAI = "\u0e19\u0e49\u0e33\u0e01"  # no nu, mai tho, sara am; ko kai


def cut(text: str, end: str, num_chars: int, before: str = "", pieces: int = 1_000) -> tuple[str, bool]:
    watcher = BoundaryWatcher(end, num_chars, before)
    shown = "".join(watcher.feed(text[at : at + pieces]) for at in range(0, len(text), pieces))
    return shown + watcher.finish(), watcher.ended


@pytest.mark.parametrize(
    ("text", "end", "lengths"),
    [
        # lengths: of the text for num_chars 0, 1, 2, …
        (f"{FAMILY}a", "grapheme", [0, 5, 5, 5, 5, 5]),
        (f"{FLAGS}a", "grapheme", [0, 2, 2, 4, 4]),
        (f"{HANGUL}a", "grapheme", [0, 3, 3, 3]),
        (f"{CONJUNCT}a", "grapheme", [0, 4, 4, 4, 4]),
        (THAI + "a", "grapheme", [0, 3, 3, 3, 4]),
        ("\r\n\na", "grapheme", [0, 2, 2, 3]),
        ("e\u0301\u0323x.", "grapheme", [0, 3, 3, 3, 4]),
        ("\U0001f44d\U0001f3fd!", "grapheme", [0, 2, 2]),  # a thumb and its colour
        ("can't stop ", "word", [0, 5, 5, 5, 5, 5, 6, 10, 10, 10, 10]),
        ("3.14, 2", "word", [0, 4, 4, 4, 4, 5, 6]),
        ("a.b. ", "word", [0, 3, 3, 3, 4]),
        ("a  b-", "word", [0, 1, 3, 3, 4]),
        ("snow_man-x ", "word", [0, 8, 8, 8, 8, 8, 8, 8, 8, 9, 10]),
        ("e\u0301t\u0301 ", "word", [0, 4, 4, 4, 4]),
        ("\u05d0\"\u05d1 ", "word", [0, 3, 3, 3]),  # Hebrew, quotation mark inside
        (f"{FAMILY} ", "word", [0, 5, 5, 5, 5, 5]),
        (f"{FLAGS} ", "word", [0, 2, 2, 4, 4]),
        (f"{HANGUL} ", "word", [0, 3, 3, 3]),
        ("\r\n\na", "word", [0, 2, 2, 3]),
        ("山水a", "word", [0, 1, 2]),
        ("Ada\n\nBo\n", "line", [3, 3, 3, 3, 4, 7, 7, 7]),
        ("ab␃c\n␃", "document", [2, 2, 2, 5, 5, 5]),
    ],
)  # fmt: skip
@pytest.mark.parametrize("pieces", [1, 1_000])
def test_a_text_ends_at_the_first_place_at_or_after_num_chars(
    text: str, end: str, lengths: list[int], pieces: int
) -> None:
    for num_chars, length in enumerate(lengths):
        assert cut(text, end, num_chars, pieces=pieces) == (text[:length], True), num_chars


@pytest.mark.parametrize(
    ("text", "end"),
    [("ab", "grapheme"), ("ab", "word"), ("ab.", "word"), ("a.\u0301", "word"), ("3,", "word"), ("ab", "line")],
)
def test_what_a_next_character_decides_is_held_back_and_given_at_the_end(text: str, end: str) -> None:
    watcher = BoundaryWatcher(end, 1 if end == "word" else 2, "")
    shown = watcher.feed(text)
    assert not watcher.ended
    assert shown == {"word": text.rstrip(".,\u0301"), "line": "ab", "grapheme": "ab"}[end]
    assert shown + watcher.finish() == text
    assert watcher.finish() == ""


def test_what_stands_before_the_text_counts() -> None:
    assert cut("\u200d\U0001f469!", "grapheme", 1, before="x\U0001f468") == ("\u200d\U0001f469", True)
    assert cut("\U0001f1ea\U0001f1eb\U0001f1f7", "grapheme", 1, before="\U0001f1e9") == ("\U0001f1ea", True)
    assert cut("'t stop", "word", 1, before="can") == ("'t", True)
    assert cut("ow man", "word", 0, before="sn") == ("ow", True)
    assert cut(" man", "word", 0, before="snow") == ("", True)
    assert cut("a\nb", "line", 0, before="x\n") == ("a", True)


def test_nothing_is_let_through_once_a_text_has_ended() -> None:
    watcher = BoundaryWatcher("word", 2)
    assert watcher.feed("abc d") == "abc"
    assert watcher.feed("more") + watcher.finish() == ""


CHARACTERS = st.sampled_from(
    "aA1 .,':\"\n\r␃_\u0301\u200d\u00ad\u05d0\u30a2\u0e33\u0e01" + FAMILY + FLAGS + HANGUL + CONJUNCT
)
TEXTS = st.text(CHARACTERS, max_size=24)
NEXT = "a1.'\"\u05d0\u30a2 \u0e33\u1161\u0937\U0001f469\U0001f1ea"
CONTINUATIONS = ["", *(mark + character for mark in ("", "\u0301", "\u200d") for character in NEXT)]


def places(text: str, end: str) -> set[int]:
    """All places where a text may end, the beginning and the end among them, read at once by the library's rules."""
    if end == "grapheme":
        return {0, *(cluster.end() for cluster in regex.finditer(r"\X", text))}
    if end == "word":
        return {0, *(found.start() for found in regex.finditer(r"(?w)\b", text))}
    return {at for at, character in enumerate(text) if character == {"line": "\n", "document": "␃"}[end]}


@example(text="1:", before="", end="word", num_chars=1, cuts=[])
@given(TEXTS, TEXTS, st.sampled_from(ENDS), st.integers(1, 12), st.lists(st.integers(0, 24), max_size=6))
def test_however_it_is_cut_the_text_ends_at_the_first_place_that_nothing_behind_it_undoes(
    text: str, before: str, end: str, num_chars: int, cuts: list[int]
) -> None:
    cuts = sorted({0, len(text), *(cut for cut in cuts if cut < len(text))})
    watcher, shown = BoundaryWatcher(end, num_chars, before), ""
    for begin, stop in pairwise(cuts):
        shown += watcher.feed(text[begin:stop])
    sure = set.intersection(*(places(before + text + more, end) for more in CONTINUATIONS))
    inside = [at - len(before) for at in sure if len(before) + num_chars <= at < len(before + text)]
    assert watcher.ended == bool(inside)
    if inside:
        assert shown == text[: min(inside)]
    assert text.startswith(shown)
    assert shown + watcher.finish() == (text[: min(inside)] if inside else text)


def test_only_so_much_of_what_stands_before_is_kept() -> None:
    watcher = BoundaryWatcher("grapheme", 10_000, "x" * 10_000)
    assert watcher.feed("y" * 9_999) == "y" * 9_999
    assert len(watcher._text) == CONTEXT_CHARS


def test_a_row_writes_so_much_more_that_the_place_can_come() -> None:
    assert most_chars(7, None) == 7
    assert most_chars(7, "word") == 7 + MAX_BEYOND


def test_an_end_that_a_model_never_comes_to_is_a_sentence() -> None:
    letters, lines = Vocabulary.from_text("ab"), Vocabulary.from_text("ab\n")
    for end in (None, "grapheme", "word", "line"):
        check_end(end, lines)
    check_end("document", Vocabulary.from_text("ab␃"))
    with pytest.raises(OptionError, match=r"^end: 'page' is not one of grapheme, word, line, document$"):
        check_end("page", lines)
    with pytest.raises(
        OptionError, match=r"^end: this model has never seen the end of a line; it may be grapheme, word$"
    ):
        check_end("line", letters)
    with pytest.raises(
        OptionError, match=r"^end: this model has never seen the end of a document; it may be grapheme, word, line$"
    ):
        check_end("document", lines)
