from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.stops import StopWatcher


def cut(text: str, stops: list[str]) -> str:
    """The meaning, over the whole text at once: the shortest beginning whose continuation completes a stop string
    first."""
    for end in range(len(text) + 1):
        for stop in stops:
            if text[:end].endswith(stop):
                starts = [end - len(other) for other in stops if text[:end].endswith(other)]
                return text[: min(starts)]
    return text


@given(
    pieces=st.lists(st.text("ab", max_size=4), max_size=8),
    stops=st.lists(st.text("ab", min_size=1, max_size=4), min_size=1, max_size=3),
)
def test_what_is_shown_never_has_to_be_taken_back(pieces: list[str], stops: list[str]) -> None:
    watcher, shown = StopWatcher(stops), ""
    whole = StopWatcher(stops)
    expected = whole.feed("".join(pieces)) + whole.end()
    for piece in pieces:
        shown += watcher.feed(piece)
        assert not any(stop in shown for stop in stops)
        assert "".join(pieces).startswith(shown)
    shown += watcher.end()
    assert watcher.stopped == any(stop in "".join(pieces) for stop in stops)
    if not watcher.stopped:
        assert shown == "".join(pieces)
    if len(stops) == 1:
        assert shown == expected


@pytest.mark.parametrize(
    ("pieces", "stops", "shown"),
    [
        (["hello", " wor", "ld"], ["wor"], ["hello", " "]),
        (["ab", "ab", "c"], ["abc"], ["", "ab", ""]),
        (["aaa", "b"], ["aab"], ["a", ""]),
    ],
)
def test_a_stop_string_across_pieces_is_held_back(pieces: list[str], stops: list[str], shown: list[str]) -> None:
    watcher = StopWatcher(stops)
    assert [watcher.feed(piece) for piece in pieces][: len(shown)] == shown
    assert watcher.stopped
    assert watcher.feed("more") == ""
