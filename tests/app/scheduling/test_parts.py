from __future__ import annotations

import asyncio
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.scheduling.jobs import GenerateJob, ScoreJob
from app.scheduling.parts import FLUSH_S, NEVER, Part, Pieces, Reading, pad
from app.scheduling.reply import Reply
from app.scheduling.requests import Chunk, Continuation, GenerateRequest, ScoreRequest
from model.arrays import Float32s, State
from model.decoding.measure import Measured, measure
from model.decoding.row import ALL, Row
from model.sampling.options import MAX_SEED, Sampling
from model.sampling.plain import choose_reference
from model.sampling.random_stream import uniform
from model.text.boundaries import MAX_BEYOND
from tests.measured import same_measures
from tests.model.plain_engine import H, PlainEngine, S, decode

ENGINE = PlainEngine()
LOOP = asyncio.new_event_loop()
LOOP.close()


def part_for(index: int = 0, **options: Any) -> Part:
    options = {"prefix": np.array([1, 2, 3]), "num_chars": 10, **options}
    request = GenerateRequest(**options)
    return Part(GenerateJob(request, 0.0, Reply(LOOP)), request, index, decode)


def measured(count: int, alternatives: int = 2, begin: int = 0) -> Measured:
    """Values that tell which character they are of."""
    numbers = np.arange(begin, begin + count)
    wide = np.repeat(numbers[:, None], alternatives, 1)
    return Measured(-numbers / 2, numbers.astype(np.int32), numbers / 4, wide.astype(np.int32), -wide / 8)


def same(one: Measured | None, other: Measured | None) -> bool:
    if one is None or other is None:
        return one is other
    return same_measures(one, other)


def is_over(part: Part) -> bool:
    return part.ending is not None


def cut(text: str, stops: tuple[str, ...]) -> tuple[str, str]:
    for end in range(1, len(text) + 1):
        complete = [stop for stop in stops if text[:end].endswith(stop)]
        if complete:
            return text[: end - len(max(complete, key=len))], "stop"
    return text, "length"


@pytest.mark.parametrize("count", [0, 1, 99, 100, 101, 250])
def test_pieces_make_the_whole_and_are_joined_by_the_hundred(count: int) -> None:
    sizes = []

    def join(pieces: list[str]) -> str:
        sizes.append(len(pieces))
        return "".join(pieces)

    pieces = Pieces(join)
    for number in range(count):
        pieces.add(f"{number},")
    assert sizes == [100] * (count // 100)
    for _ in range(2):
        assert pieces.whole() == ("".join(f"{number}," for number in range(count)) if count else None)
    assert sizes[count // 100 :] == ([count // 100 + count % 100] * 2 if count else [])


def test_a_stream_is_looked_at_at_once_a_text_with_stops_now_and_then_and_any_other_at_its_end() -> None:
    for options, expected in (
        ({"stream": True}, 0.0),
        ({"stream": True, "stop": ("a",)}, 0.0),
        ({"stop": ("a",)}, FLUSH_S),
        ({"end": "word"}, FLUSH_S),
        ({}, NEVER),
    ):
        part = part_for(**options)
        row = part.make_row(np.array([1]), None)
        assert part.look_after_s(row) == expected
        assert part.look_after_s(Row(np.array([1]), 1)) == NEVER
        assert part.streams == ("stream" in options)
    assert 0 < FLUSH_S < 0.1  # a stop string is noticed while the text is being waited for


def test_a_row_is_what_the_request_asks_for() -> None:
    state = (np.ones(S, np.float32),)
    given_state = Continuation((np.ones(H, np.float32),), 4, 17)
    part = part_for(
        2, sampling=Sampling(0.5, 3, 0.75, 40), num_chars=8, logprobs=6, return_state=True, state=given_state
    )
    row = part.make_row(np.array([4]), state)
    assert (row.forced.tolist(), row.num_chars, row.state, row.owner) == ([4], 8, state, part)
    assert (row.temperature, row.top_k, row.top_p, row.seed, row.position) == (0.5, 3, 0.75, 42, 17)
    assert (row.logprobs, row.keep_state, row.snapshot_at, part.row) == (6, True, 0, row)
    row = part_for(3).make_row(np.array([4]), None)
    assert (row.temperature, row.top_k, row.top_p, row.seed, row.position) == (0.0, ALL, 1.0, 0, 0)
    assert (row.logprobs, row.keep_state, row.state) == (None, False, None)


def test_seeds_count_up_from_the_one_given_and_go_round_after_the_largest() -> None:
    sampling = Sampling(1.0, seed=MAX_SEED - 1)
    assert [part_for(index, sampling=sampling).seed for index in range(4)] == [MAX_SEED - 1, MAX_SEED, 0, 1]
    assert part_for(3).seed is None
    assert part_for(3, sampling=Sampling(1.0)).seed == 3


@settings(max_examples=40)
@given(
    text=st.text("ab", max_size=40),
    stops=st.lists(st.text("ab", min_size=1, max_size=4), max_size=3).map(tuple),
    cuts=st.lists(st.integers(0, 40), max_size=8),
    logprobs=st.sampled_from([None, 0, 2]),
)
def test_however_it_is_cut_what_is_shown_is_the_text_before_the_stop_with_its_own_measures(
    text: str, stops: tuple[str, ...], cuts: list[int], logprobs: int | None
) -> None:
    part = part_for(1, stop=stops, logprobs=logprobs, sampling=Sampling(1.0, seed=5))
    row = part.make_row(np.array([1]), None)
    bounds = sorted({0, len(text), *(at for at in cuts if at < len(text))})
    chunks: list[Chunk | None] = []
    for begin, end in zip(bounds, [*bounds[1:], len(text)], strict=True):
        assert not is_over(part)
        row.written.append(np.array([ord(c) - ord("a") for c in text[begin:end]], np.int32))
        if logprobs is not None:
            row.measured.append(measured(end - begin, logprobs, begin))
        chunks.append(part.take(end=end == begin))  # the last time nothing was written
        assert (row.written, row.measured) == ([], [])
        if is_over(part):
            break
    expected, reason = cut(text, stops)
    shown = [chunk for chunk in chunks if chunk is not None]
    assert all(chunk.text and chunk.index == 1 for chunk in shown)
    assert "".join(chunk.text for chunk in shown) == expected
    choice = part.choice()
    assert (choice.index, choice.text, choice.finish_reason, choice.seed) == (1, expected, reason, 6)
    assert part.shown == len(expected)
    assert choice.state is None
    at = 0
    for chunk in shown:
        assert same(chunk.measured, None if logprobs is None else measured(len(chunk.text), logprobs, at))
        at += len(chunk.text)
    if logprobs is None or text:
        assert same(choice.measured, None if logprobs is None else measured(len(expected), logprobs))


def test_a_row_that_is_to_end_somewhere_writes_beyond_and_what_comes_before_it_counts() -> None:
    given_state = Continuation((np.ones(H, np.float32),), 0, 17)
    for options in ({"prefix": np.array([25, 0])}, {"state": given_state}):
        part = part_for(num_chars=1, end="word", return_state=True, **options)  # behind a letter
        row = part.make_row(np.array([0]), None)
        assert (row.num_chars, row.keep_state) == (1 + MAX_BEYOND, True)
        write(part, row, "bc", end=False)
        assert (part.ending, part.shown) == (None, 2)
        row.written.append(np.array([ord("-") - ord("a"), 0], np.int32))
        chunk = part.take()
        assert (chunk, part.ending, part.shown) == (None, "end", 2)
        following = part.after(row, ENGINE)
        assert following is not None
        assert following.forced.tolist()[-2:] == [1, 2]


def test_what_is_shown_holds_no_larger_array() -> None:
    part = part_for(stop=("zz",), logprobs=2)
    row = part.make_row(np.array([1]), None)
    row.written.append(np.array([0, 0, 25], np.int32))
    row.measured.append(measured(3))
    chunk = part.take()
    assert chunk is not None
    assert chunk.text == "aa"
    assert chunk.measured is not None
    assert all(values.base is None for values in chunk.measured)


def state(*values: float) -> State:
    return (np.array(values, np.float32),)


def write(part: Part, row: Row, text: str, end: bool) -> None:
    row.written.append(np.array([ord(c) - ord("a") for c in text], np.int32))
    part.take(end)


def leave(row: Row, given: State, pending: int) -> Float32s:
    """What the decoder leaves in a row that is over, and the array of its state."""
    row.state, row.pending = given, pending
    return given[0]


def test_without_being_asked_no_state_is_kept() -> None:
    part = part_for(stop=("c",))
    row = part.make_row(np.array([3]), None)
    write(part, row, "abc", end=True)
    assert part.after(row, ENGINE) is None
    assert part.state is None


@pytest.mark.parametrize("begun", [None, 17])
def test_a_text_at_its_length_is_gone_on_from_where_its_row_ended(begun: int | None) -> None:
    given_state = None if begun is None else Continuation(state(1, 2), 4, begun)
    part = part_for(return_state=True, state=given_state)
    row = part.make_row(np.array([3]), None)
    write(part, row, "ab", end=False)
    write(part, row, "cde", end=True)
    kept = leave(row, state(5, 6, 0), 4)
    assert part.after(row, ENGINE) is None
    assert row.state is None
    found = part.choice().state
    assert found is not None
    assert [array.tolist() for array in found.arrays] == [[5, 6]]
    assert all(array.base is None for array in found.arrays)
    kept[:] = 9
    assert (found.arrays[0].tolist(), found.pending, found.position) == ([5, 6], 4, (begun or 0) + 5)


@pytest.mark.parametrize("begun", [None, 17])
def test_a_text_that_a_stop_ended_is_read_again_up_to_there(begun: int | None) -> None:
    given_state = None if begun is None else Continuation(state(1, 2), 4, begun)
    part = part_for(return_state=True, stop=("de",), state=given_state)
    row = part.make_row(np.array([3]), None)
    write(part, row, "ab", end=False)
    write(part, row, "cdefg", end=False)
    following = part.after(row, ENGINE)
    assert following is not None
    read = [1, 2, 3] if begun is None else [4]
    assert following.forced.tolist() == [*read, 0, 1, 2]
    assert (following.num_chars, following.owner, following.temperature) == (1, part, 0.0)
    assert following.snapshot_at == len(read) + 2
    arrays = None if following.state is None else [array.tolist() for array in following.state]
    assert arrays == (None if begun is None else [[1, 2, 0]])
    assert part.look_after_s(following) == NEVER
    assert following.on_snapshot is not None
    following.on_snapshot(state(7, 8, 0))
    assert part.after(following, ENGINE) is None
    found = part.choice().state
    assert found is not None
    assert (found.arrays[0].tolist(), found.pending, found.position) == ([7, 8], 2, (begun or 0) + 3)


@pytest.mark.parametrize("begun", [None, 17])
def test_where_a_stop_left_nothing_of_one_character_the_state_is_known(begun: int | None) -> None:
    given_state = None if begun is None else Continuation(state(1, 2), 4, begun)
    part = part_for(prefix=np.array([5]), return_state=True, stop=("a",), state=given_state)
    row = part.make_row(np.array([5]), None)
    write(part, row, "ab", end=False)
    assert part.after(row, ENGINE) is None
    found = part.choice().state
    assert found is not None
    expected = ([0, 0], 5, 0) if begun is None else ([1, 2], 4, 17)
    assert (found.arrays[0].tolist(), found.pending, found.position) == expected


FIRST = np.log(np.array([1, 1, 9, 1, 1, 1, 1], np.float32))


def test_a_text_that_continues_nothing_has_its_first_character_before_any_step() -> None:
    part = part_for(1, prefix=np.zeros(0, np.int64), num_chars=4, sampling=Sampling(1.0, seed=3), logprobs=2)
    row = part.make_first_row(ENGINE, FIRST)
    chosen = choose_reference(FIRST, 1.0, ALL, 1.0, uniform(4, 0))
    assert (row.forced.tolist(), row.num_chars, row.position, row.steps) == ([chosen], 3, 1, 3)
    assert (row is part.row, row.state, row.seed) == (True, None, 4)
    chunk = part.take()
    assert chunk is not None
    assert chunk.text == "abcdefg"[chosen]
    assert same(chunk.measured, measure(FIRST[None], np.array([chosen]), 2))


@pytest.mark.parametrize("stop", [(), ("d",)])
def test_the_state_behind_a_single_character_is_that_before_anything_was_read(stop: tuple[str, ...]) -> None:
    part = part_for(prefix=np.zeros(0, np.int64), num_chars=1, return_state=True, stop=stop)
    row = part.make_first_row(ENGINE, FIRST)
    assert row.steps == 0
    part.take(end=True)
    assert part.after(row, ENGINE) is None
    found = part.choice()
    assert (found.text, found.finish_reason) == ("c", "length")
    assert found.state is not None
    assert (found.state.arrays[0].tolist(), found.state.pending, found.state.position) == ([0, 0], 2, 1)


def test_where_a_stop_left_nothing_after_nothing_there_is_nothing_to_read() -> None:
    part = part_for(prefix=np.zeros(0, np.int64), num_chars=9, return_state=True, stop=("c",))
    row = part.make_first_row(ENGINE, FIRST)
    part.take()
    assert part.after(row, ENGINE) is None
    found = part.choice()
    assert (found.text, found.finish_reason) == ("", "stop")
    assert found.state is not None
    assert (found.state.arrays[0].tolist(), found.state.pending, found.state.position) == ([0, 0], None, 0)


def test_a_score_is_never_looked_at_and_needs_no_other_row() -> None:
    job = ScoreJob(ScoreRequest(np.arange(3)), 0.0, Reply(LOOP))
    reading, row = Reading(job), Row(np.arange(3), 0, logprobs=0)
    assert (reading.job, reading.look_after_s(row), reading.after(row, ENGINE)) == (job, NEVER, None)


def test_a_continuation_is_filled_up_to_the_engines_width() -> None:
    given_state = Continuation(state(1, 2), 4, 17)
    (filled,) = pad(ENGINE, given_state)
    assert (filled.shape, filled.tolist()) == ((S,), [1, 2, 0])
    filled[:] = 9
    assert given_state.arrays[0].tolist() == [1, 2]
    for arrays in ((), state(1, 2, 3), state(1, 2) * 2):
        with pytest.raises(AssertionError):
            pad(ENGINE, Continuation(arrays, 4, 17))
