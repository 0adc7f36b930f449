"""The decoder over an engine of a few lines: texts, measures and states that can be told without either."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model.arrays import Float32s, Float64s
from model.decoding import decoder as module
from model.decoding.decoder import BUFFER_CHARS, FIRST_GUESS_S, BatchDecoder
from model.decoding.measure import joined
from model.decoding.row import ALL, Row
from model.sampling.plain import choose_reference
from model.sampling.random_stream import uniform
from tests.model.plain_engine import PlainEngine, S, V, state_after


def logits_after(read: list[int]) -> Float32s:
    a, b = state_after(read)
    logits: Float32s = -np.abs(np.arange(V) - (a + 2 * b) % V).astype(np.float32)
    return logits


def likeliest_first(logits: Float64s) -> list[int]:
    """All characters, equal ones by index."""
    return sorted(range(V), key=lambda v: (-logits[v], v))


def written_by_hand(row: Row) -> list[int]:
    """Of a row that begins with nothing read."""
    text = [int(c) for c in row.forced]
    for number in range(row.num_chars):
        random = uniform(row.seed, row.position + number)
        text.append(choose_reference(logits_after(text), row.temperature, row.top_k, row.top_p, random))
    return text[len(row.forced) :]


def check(row: Row, text: list[int]) -> None:
    assert row.text_indices().tolist() == text
    assert row.text_indices().dtype == np.int64
    whole = [*row.forced.tolist(), *text]
    if row.logprobs is None:
        assert row.measured == []
    else:
        begun = len(row.forced) if row.num_chars else 1
        found = joined(row.measured)
        assert len(found.logprobs) == len(whole) - begun
        assert found.alternatives.shape[1] == min(row.logprobs, V)
        for number, at in enumerate(range(begun, len(whole))):
            logits = logits_after(whole[:at]).astype(np.float64)
            logprobs = logits - np.log(np.exp(logits).sum())
            order = likeliest_first(logits)
            assert found.logprobs[number] == pytest.approx(logprobs[whole[at]])
            assert found.ranks[number] == order.index(whole[at])
            assert found.alternatives[number].tolist() == order[: row.logprobs]
    if row.keep_state:
        assert row.pending == whole[-1]
        assert row.state is not None
        assert [array.tolist() for array in row.state] == [[*state_after(whole[:-1]), 0]]
    else:
        assert row.state is None


def finish(decoder: BatchDecoder, max_steps: int = 5) -> None:
    while len(decoder):
        decoder.remove(decoder.tick(max_steps))


def test_one_row_reads_and_then_writes() -> None:
    decoder = BatchDecoder(PlainEngine())
    row = Row(np.array([1, 2, 3]), 20, keep_state=True)
    decoder.admit(row)
    assert (len(decoder), decoder.rows, decoder.steps) == (1, [row], 0)
    assert decoder.tick(2).tolist() == []
    assert (decoder.written().tolist(), decoder.unread().tolist()) == ([0], [0])
    assert decoder.tick(5).tolist() == []
    assert (decoder.written().tolist(), decoder.unread().tolist()) == ([5], [5])
    decoder.collect(0)
    decoder.collect(0)
    assert (decoder.written().tolist(), decoder.unread().tolist(), len(row.text_indices())) == ([5], [0], 5)
    assert decoder.tick(5).tolist() == []
    assert (decoder.written().tolist(), decoder.unread().tolist()) == ([10], [5])
    assert decoder.tick(100).tolist() == [0]
    assert decoder.steps == 22
    assert decoder.rows == [row]
    check(row, written_by_hand(row))
    decoder.remove(np.array([0]))
    assert (len(decoder), decoder.rows) == (0, [])


def test_the_state_before_the_last_forced_character_is_told_and_can_be_gone_on_from() -> None:
    for at in (1, 2, 3):
        taken: list[Any] = []
        decoder = BatchDecoder(PlainEngine())
        row = Row(np.array([1, 2, 3, 4]), 6, snapshot_at=at, on_snapshot=taken.append)
        decoder.admit(Row(np.array([5]), 30))
        decoder.admit(row)
        finish(decoder)
        ((state,),) = taken
        assert state.tolist() == [*state_after([1, 2, 3, 4][:at]), 0]
        going_on = Row(row.forced[at:], 6, state=(state.copy(),))
        decoder.admit(going_on)
        finish(decoder)
        assert going_on.text_indices().tolist() == written_by_hand(row)


def test_numbers_are_drawn_from_the_position_on() -> None:
    decoder = BatchDecoder(PlainEngine())
    rows = [
        Row(np.array([1, 2]), 12, temperature=3.0, seed=seed, position=position)
        for seed in (0, 9)
        for position in (0, 7)
    ]
    for row in rows:
        decoder.admit(row)
    finish(decoder)
    texts = {tuple(row.text_indices()) for row in rows}
    assert len(texts) == 4
    for row in rows:
        check(row, written_by_hand(row))


@pytest.mark.parametrize(("forced", "num_chars", "logprobs"), [([], 5, 0), ([1], 0, 0), ([1, 2], 0, None)])
def test_a_row_that_neither_writes_nor_is_a_score_is_refused(
    forced: list[int], num_chars: int, logprobs: int | None
) -> None:
    with pytest.raises(AssertionError):
        BatchDecoder(PlainEngine()).admit(Row(np.array(forced, np.int64), num_chars, logprobs=logprobs))


def test_a_score_of_two_characters_is_the_shortest() -> None:
    decoder = BatchDecoder(PlainEngine())
    row = Row(np.array([1, 2]), 0, logprobs=9)
    decoder.admit(row)
    assert decoder.tick().tolist() == [0]
    check(row, [])


def test_columns_of_the_callers_stay_with_their_rows() -> None:
    decoder = BatchDecoder(PlainEngine(), {"number": np.float64})
    for number in range(40):
        decoder.admit(Row(np.array([1]), 100, owner=number), number=number / 2)
    decoder.tick(3)
    decoder.remove(np.arange(0, 40, 3))
    assert [row.owner / 2 for row in decoder.rows] == decoder.column("number").tolist()
    assert decoder.rows[0].owner == 1
    decoder.column("number")[:] += 1
    assert decoder.column("number")[0] == 1.5


def test_what_nobody_collects_is_kept_though_it_is_more_than_the_buffer_holds() -> None:
    decoder = BatchDecoder(PlainEngine())
    rows = [Row(np.array([c]), 2 * BUFFER_CHARS + c, logprobs=0 if c == 2 else None) for c in range(4)]
    for row in rows:
        decoder.admit(row)
    while not len(decoder.tick(100)):
        pass
    for row in rows[1:]:
        assert len(row.text_indices()) <= row.num_chars
    finish(decoder, 100)
    for row in rows:
        check(row, written_by_hand(row))


class Clocked(PlainEngine):
    """Each step takes so many seconds of a clock of its own."""

    def __init__(self, step_s: Callable[[int], float]) -> None:
        self.step_s = step_s
        self.now = 0.0

    def advance(self, forced: Any, last: Any, state: Any) -> Any:
        self.now += self.step_s(len(last)) * len(forced)
        return super().advance(forced, last, state)

    def clock(self) -> float:
        return self.now


def always(step_s: float) -> Callable[[int], float]:
    return lambda _: step_s


def test_a_call_takes_about_as_long_as_it_may_whatever_a_step_takes() -> None:
    for rows, step_s in ((1, 0.002), (5, 0.002), (1, 0.01), (1, 5.0)):
        engine = Clocked(always(step_s))
        decoder = BatchDecoder(engine, clock=engine.clock, tick_s=0.1)
        for _ in range(rows):
            decoder.admit(Row(np.array([1]), 10**6))
        taken = []
        for _ in range(4):
            before = decoder.steps
            decoder.tick()
            taken.append(decoder.steps - before)
        first = min(round(0.1 / FIRST_GUESS_S), module.MAX_STEPS)
        expected = max(1, int(0.1 / step_s + 1e-6))
        assert taken[0] == first
        assert all(expected - 1 <= steps <= expected + 1 and steps >= 1 for steps in taken[1:])


def test_how_long_a_step_takes_is_known_for_batches_of_each_size_and_follows_slowly() -> None:
    costs = {1: 0.002, 8: 0.02}
    engine = Clocked(lambda n: costs[n])
    decoder = BatchDecoder(engine, clock=engine.clock, tick_s=0.1)

    def steps() -> int:
        before = decoder.steps
        decoder.tick()
        return decoder.steps - before

    decoder.admit(Row(np.array([1]), 10**6))
    steps()
    assert steps() in (49, 50)
    for _ in range(7):
        decoder.admit(Row(np.array([1]), 10**6))
    steps()
    assert steps() in (4, 5)
    decoder.remove(np.arange(1, 8))
    assert steps() in (49, 50)
    costs[1] = 0.012  # six times as slow: a fifth of the way is gone each time
    assert steps() in (49, 50)
    assert steps() == int(0.1 / 0.004)
    assert steps() == int(0.1 / (0.8 * 0.004 + 0.2 * 0.012))


@pytest.mark.parametrize("clock", [None, lambda: 0.0])
def test_without_a_clock_or_by_one_that_stands_still_a_call_takes_as_many_steps_as_there_are(clock: Any) -> None:
    decoder = BatchDecoder(PlainEngine(), clock=clock, tick_s=0.0001)
    decoder.admit(Row(np.array([1]), 3 * module.MAX_STEPS))
    decoder.tick()
    decoder.tick()
    assert decoder.steps == (module.MAX_STEPS if clock is None else 1) + module.MAX_STEPS


def test_no_call_goes_beyond_what_the_longest_row_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    decoder = BatchDecoder(PlainEngine())
    decoder.admit(Row(np.array([1, 2]), 3))
    decoder.admit(Row(np.array([1]), 9))
    assert decoder.tick().tolist() == [0, 1]
    assert decoder.steps == 9
    monkeypatch.setattr(module, "MAX_STEPS", 4)
    decoder.remove(np.array([0, 1]))
    decoder.admit(Row(np.array([1]), 9))
    assert decoder.tick(100).tolist() == []
    assert decoder.steps == 13


def test_a_row_whose_end_matters_is_not_carried_past_it_and_others_may_be() -> None:
    decoder = BatchDecoder(PlainEngine())
    kept, other = Row(np.array([1, 2]), 3, keep_state=True), Row(np.array([3]), 30)
    decoder.admit(kept)
    decoder.admit(other)
    assert decoder.tick(20).tolist() == [0]
    assert decoder.steps == 4
    decoder.remove(np.array([0]))
    finish(decoder)
    for row in (kept, other):
        check(row, written_by_hand(row))


def test_greedy_rows_alone_need_no_logits_and_any_other_does() -> None:
    class Asked(PlainEngine):
        def __init__(self) -> None:
            self.calls: set[str] = set()

        def step(self, ids: Any, state: Any) -> Any:
            self.calls.add("step")
            return super().step(ids, state)

        def advance(self, forced: Any, last: Any, state: Any) -> Any:
            self.calls.add("advance")
            return forced * 0, state

    for options, expected in (
        ({}, "advance"),
        ({"temperature": 0.01}, "step"),
        ({"logprobs": 0}, "step"),
        ({"keep_state": True}, "advance"),
    ):
        engine = Asked()
        decoder = BatchDecoder(engine)
        decoder.admit(Row(np.array([1]), 5, **options))
        finish(decoder)
        assert engine.calls == {expected}


def random_row(rng: np.random.Generator) -> Row:
    logprobs = None if rng.integers(2) else int(rng.integers(0, V + 3))
    if rng.integers(4) == 0:
        return Row(rng.integers(0, V, int(rng.integers(2, 30))), 0, logprobs=logprobs or 0)
    sampled = bool(rng.integers(2))
    return Row(
        rng.integers(0, V, int(rng.integers(1, 12))),
        int(rng.integers(1, 25)),
        temperature=float(rng.choice([0.5, 2.0])) if sampled else 0.0,
        top_k=int(rng.choice([3, ALL])),
        top_p=float(rng.choice([0.8, 1.0])),
        seed=int(rng.integers(1000)),
        position=int(rng.integers(3)),
        logprobs=logprobs,
        keep_state=bool(rng.integers(2)),
    )


@settings(max_examples=15)
@given(st.integers(0, 2**32 - 1))
def test_whoever_comes_goes_and_is_parked_each_row_gives_what_is_told_by_hand(seed: int) -> None:
    rng = np.random.default_rng(seed)
    rows = [random_row(rng) for _ in range(20)]
    snapshots: dict[int, Any] = {}
    for number, row in enumerate(rows):
        if row.num_chars and len(row.forced) > 1 and rng.integers(2):
            row.snapshot_at = int(rng.integers(1, len(row.forced)))
            row.on_snapshot = partial(snapshots.__setitem__, number)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "BUFFER_CHARS", 8)
        patch.setattr(module, "MAX_STEPS", 8)
        decoder = BatchDecoder(PlainEngine())
        outside, dropped = list(rows), set()
        while outside or len(decoder):
            for _ in range(min(int(rng.integers(0, 20)), len(outside))):
                decoder.admit(outside.pop(int(rng.integers(len(outside)))))
            if len(decoder):
                decoder.remove(decoder.tick(int(rng.integers(1, 9))))
            if len(decoder) and rng.integers(2):
                outside += decoder.park(rng.permutation(len(decoder))[: int(rng.integers(1, len(decoder) + 1))])
            if len(decoder) and rng.integers(8) == 0:
                dropped.add(id(decoder.rows[-1]))
                decoder.remove(np.array([len(decoder) - 1]))
    for number, row in enumerate(rows):
        if id(row) in dropped:
            continue
        check(row, written_by_hand(row))
        if row.on_snapshot is not None:
            (state,) = snapshots[number]
            assert state.shape == (S,)
            assert tuple(state[:2]) == state_after(row.forced[: row.snapshot_at].tolist())


def change(of: Any, name: str, by: int) -> None:
    of[name][0] += by


BROKEN: list[tuple[str, Any]] = [
    ("is not the last one", lambda decoder: decoder._arrivals.insert(0, Row(np.array([1]), 1))),
    ("rows that are not there", lambda decoder: decoder.rows.insert(0, Row(np.array([1]), 1))),
    ("states of rows", lambda decoder: setattr(decoder, "_state", decoder._engine.start(5))),
    ("more is unread than there is room for", lambda decoder: change(decoder._columns, "collected", -BUFFER_CHARS - 1)),
    ("a slot is given twice", lambda decoder: decoder._measured.give(0)),
    ("a slot is given twice, or to nobody", lambda decoder: decoder._measured.take(0)),
    ("read the same characters", lambda decoder: change(decoder._columns, "offset", 15)),
    ("or some that are not there", lambda decoder: change(decoder._columns, "offset", -15)),
    ("or some that are not there", lambda decoder: setattr(decoder._forced, "_end", 50)),
]


@pytest.mark.parametrize(("says", "break_it"), BROKEN)
def test_a_decoder_whose_books_are_wrong_says_what_is(says: str, break_it: Any) -> None:
    decoder = BatchDecoder(PlainEngine())
    for length in (30, 30):
        decoder.admit(Row(np.ones(length, np.int64), 50, logprobs=0))
    decoder.check()
    decoder.tick(10)
    decoder.admit(Row(np.array([1, 2]), 5))
    decoder.check()
    break_it(decoder)
    with pytest.raises(AssertionError, match=says):
        decoder.check()


def test_nothing_is_left_of_rows_that_are_gone() -> None:
    decoder = BatchDecoder(PlainEngine())
    decoder.admit(Row(np.array([1, 2]), 5, logprobs=1))
    finish(decoder)
    decoder.check()
    decoder._forced._end = 2
    with pytest.raises(AssertionError, match="left behind by rows that are gone"):
        decoder.check()
