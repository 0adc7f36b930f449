from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.text.stops import StopWatcher

STOPS = st.lists(st.text("ab", min_size=1, max_size=5), max_size=4)


def read(text: str, stops: list[str]) -> tuple[str, bool]:
    """The meaning, as a reader goes: at the first character that completes a stop string, the text ends before the
    longest that is complete there."""
    for end in range(1, len(text) + 1):
        complete = [stop for stop in stops if text[:end].endswith(stop)]
        if complete:
            return text[: end - max(map(len, complete))], True
    return text, False


@given(pieces=st.lists(st.text("ab", max_size=4), max_size=10), stops=STOPS)
def test_the_text_is_what_a_reader_of_single_characters_gets_however_it_arrives(
    pieces: list[str], stops: list[str]
) -> None:
    watcher = StopWatcher(stops)
    shown = "".join([watcher.feed(piece) for piece in pieces]) + watcher.end()
    assert (shown, watcher.stopped) == read("".join(pieces), stops)
    assert watcher.end() == "", "what was held back is given once"


@given(pieces=st.lists(st.text("ab", min_size=1, max_size=4), min_size=1, max_size=6), stops=STOPS)
def test_all_that_no_later_character_can_take_back_is_shown_at_once(pieces: list[str], stops: list[str]) -> None:
    watcher, text, shown = StopWatcher(stops), "", ""
    # Only an end of a stop string can complete one that has begun.
    ends = ["", *(stop[at:] for stop in stops for at in range(len(stop)))]
    for piece in pieces:
        text += piece
        shown += watcher.feed(piece)
        assert len(shown) == min(len(text), *(len(read(text + end, stops)[0]) for end in ends))


@pytest.mark.parametrize(
    ("pieces", "stops", "shown"),
    [
        (["hello", " wor", "ld"], ["wor"], ["hello", " ", ""]),
        (["ab", "ab", "c"], ["abc"], ["", "ab", ""]),
        (["aaa", "b"], ["aab"], ["a", ""]),
        (["xabcdy"], ["abcd", "bc"], ["xa"]),
        (["xab", "c"], ["abcd", "bc"], ["xa", ""]),
        (["xabc"], ["c", "abc"], ["x"]),
    ],
)
def test_what_is_shown_piece_by_piece(pieces: list[str], stops: list[str], shown: list[str]) -> None:
    watcher = StopWatcher(stops)
    assert [watcher.feed(piece) for piece in pieces] == shown
    assert watcher.stopped
    assert watcher.feed("more") + watcher.end() == ""
