from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from model.text.ending import EndWatcher
from tests.model.text.test_boundaries import cut
from tests.model.text.test_stops import STOPS, read


@given(
    text=st.text("ab \n", max_size=20),
    stops=STOPS,
    end=st.sampled_from([None, "word", "line", "grapheme"]),
    num_chars=st.integers(1, 10),
    cuts=st.lists(st.integers(0, 20), max_size=4),
)
def test_a_text_ends_where_it_may_or_before_a_stop_string_that_is_complete_there(
    text: str, stops: list[str], end: str | None, num_chars: int, cuts: list[int]
) -> None:
    watcher, shown, fed = EndWatcher(num_chars, stops, end), "", 0
    for at in sorted({min(at, len(text)) for at in cuts}):
        shown += watcher.feed(text[fed:at])
        fed = at
    shown += watcher.feed(text[fed:], last=True)
    up_to, ended = (text, False) if end is None else cut(text, end, num_chars)
    expected, stopped = read(up_to, stops)
    assert (shown, watcher.ending) == (expected, "stop" if stopped else "end" if ended else "length")
    assert watcher.feed("more", last=True) == ""


def test_a_stop_string_ends_a_text_before_the_place_that_was_asked_for_is_known() -> None:
    watcher = EndWatcher(2, ["d"], "line")
    assert (watcher.feed("abc"), watcher.ending) == ("abc", None)
    assert (watcher.feed("def"), watcher.ending) == ("", "stop")


def test_what_is_only_read_to_know_a_place_is_never_shown() -> None:
    watcher = EndWatcher(1, ["."], "word")
    assert (watcher.feed("ab"), watcher.ending) == ("ab", None)
    assert (watcher.feed("."), watcher.ending) == ("", None)
    assert (watcher.feed(" "), watcher.ending) == ("", "end")
