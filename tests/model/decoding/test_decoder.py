from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model.arrays import Float32s2D, Int64s, State
from model.decoding.decoder import BUFFER_CHARS, BatchDecoder
from model.decoding.engine import Engine
from model.decoding.measure import Measured, joined, measure, part_of
from model.decoding.row import ALL, Row
from model.engines.choice import open_engine
from tests.measured import same_measures
from tests.model.plain_engine import PlainEngine, V
from tests.models import CELLS, tiny_checkpoint

VOCAB = 40
ENGINES = {cell: open_engine(tiny_checkpoint(cell, 2, 24, VOCAB), "cpu", "onnxruntime", 1) for cell in CELLS}


def random_row(rng: np.random.Generator, **options: object) -> Row:
    sampled = bool(rng.integers(2))
    row = Row(
        rng.integers(0, VOCAB, int(rng.integers(1, 40))),
        int(rng.integers(1, 60)),
        temperature=float(rng.choice([0.5, 1.0])) if sampled else 0.0,
        top_k=int(rng.choice([3, ALL])),
        top_p=float(rng.choice([0.8, 1.0])),
        seed=int(rng.integers(1000)),
    )
    for name, value in options.items():
        setattr(row, name, value)
    return row


def again(row: Row, **changes: object) -> Row:
    fields = ("forced", "num_chars", "temperature", "top_k", "top_p", "seed", "position", "logprobs", "keep_state")
    return Row(**{**{name: getattr(row, name) for name in fields}, **changes})


def alone(row: Row, engine: Engine, max_steps: int = 64, **changes: object) -> Row:
    copy = again(row, **changes)
    decoder = BatchDecoder(engine)
    decoder.admit(copy)
    while not len(decoder.tick(max_steps)):
        pass
    return copy


def same(one: Row, other: Row) -> bool:
    return np.array_equal(one.text_indices(), other.text_indices())


@settings(max_examples=40)
@given(seed=st.integers(0, 2**32 - 1), cell=st.sampled_from(CELLS))
def test_a_row_writes_the_same_whoever_comes_goes_or_is_cancelled_beside_it(seed: int, cell: str) -> None:
    rng = np.random.default_rng(seed)
    decoder = BatchDecoder(ENGINES[cell])
    waiting = [random_row(rng, keep_state=bool(rng.integers(2))) for _ in range(12)]
    expected = {id(row): alone(row, ENGINES[cell], keep_state=True) for row in waiting}
    done: list[Row] = []
    cancelled: list[Row] = []
    while waiting or len(decoder):
        for _ in range(min(int(rng.integers(0, 4)), len(waiting))):
            decoder.admit(waiting.pop())
        if not len(decoder):
            continue
        finished = decoder.tick(int(rng.integers(1, 20)))
        done += [decoder.rows[place] for place in finished]
        decoder.remove(finished)
        if len(decoder) and not rng.integers(6):
            cancelled.append(decoder.rows[0])
            decoder.remove(np.array([0]))
    assert len(done) + len(cancelled) == 12
    for row in done:
        assert len(row.text_indices()) == row.num_chars
        assert same(row, expected[id(row)])
        if row.keep_state:
            reference = expected[id(row)]
            assert row.pending == reference.pending
            assert row.state is not None
            assert reference.state is not None
            assert [a.tobytes() for a in row.state] == [a.tobytes() for a in reference.state]


def random_score(rng: np.random.Generator) -> Row:
    return Row(rng.integers(0, VOCAB, int(rng.integers(2, 80))), 0, logprobs=int(rng.integers(0, 4)))


def measured_by_hand(engine: Engine, read: Int64s, alternatives: int) -> Measured:
    """Of each character but the first, one step of one row at a time."""
    state, logits = engine.start(1), []
    for index in read[:-1]:
        step, state = engine.step(np.array([index]), state)
        logits.append(step)
    return measure(np.concatenate(logits), read[1:], alternatives)


def same_measured(row: Row, expected: Measured) -> bool:
    return same_measures(joined(row.measured), expected)


@settings(max_examples=25)
@given(seed=st.integers(0, 2**32 - 1), cell=st.sampled_from(CELLS))
def test_parking_rows_at_any_time_changes_no_character_no_measure_and_no_state(seed: int, cell: str) -> None:
    rng, engine = np.random.default_rng(seed), ENGINES[cell]
    decoder = BatchDecoder(engine)
    rows = []
    for _ in range(10):
        options = {"keep_state": bool(rng.integers(2)), "logprobs": (None, 0, 3)[int(rng.integers(3))]}
        rows.append(random_score(rng) if rng.integers(3) == 0 else random_row(rng, **options))
    snapshots: dict[int, State] = {}
    for number, row in enumerate(rows):
        if row.num_chars and len(row.forced) > 1:
            row.snapshot_at = int(rng.integers(1, len(row.forced)))
            row.on_snapshot = partial(snapshots.__setitem__, number)
    expected = [alone(row, engine, keep_state=row.num_chars > 0) for row in rows]
    outside = list(rows)
    while outside or len(decoder):
        for _ in range(min(int(rng.integers(0, 5)), len(outside))):
            decoder.admit(outside.pop(int(rng.integers(len(outside)))))
        if not len(decoder):
            continue
        decoder.remove(decoder.tick(int(rng.integers(1, 12))))
        if len(decoder) and rng.integers(2):
            places = rng.permutation(len(decoder))[: int(rng.integers(1, len(decoder) + 1))]
            outside += decoder.park(places)
    for number, (row, reference) in enumerate(zip(rows, expected, strict=True)):
        assert same(row, reference)
        assert len(row.text_indices()) == row.num_chars
        if row.logprobs is not None:
            read = np.concatenate([row.forced, row.text_indices()])
            by_hand = measured_by_hand(engine, read, row.logprobs)
            begun = len(row.forced) - 1 if row.num_chars else 0
            assert same_measured(row, part_of(by_hand, begun, len(read)))
        if row.keep_state:
            assert row.state is not None
            assert reference.state is not None
            assert [a.tobytes() for a in row.state] == [a.tobytes() for a in reference.state]
            assert row.pending == reference.pending
        if row.snapshot_at:
            resumed = alone(row, engine, forced=row.forced[row.snapshot_at :], state=snapshots[number])
            assert same(resumed, reference)


def test_a_row_that_is_measured_costs_nothing_for_what_it_reads_before_its_text(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[int] = []

    def counted(logits: object, rows: Int64s, step: int, begins: Int64s, *others: object) -> bool:
        asked.append(int((begins <= step).sum()))
        return True

    monkeypatch.setattr("model.decoding.decoder.measure_rows", counted)
    decoder = BatchDecoder(ENGINES["gru"])
    decoder.admit(Row(np.arange(30), 5, logprobs=2))
    decoder.admit(Row(np.arange(10), 0, logprobs=2))
    while len(decoder):
        decoder.remove(decoder.tick(1))
    assert sum(asked) == 5 + 9


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("temperature", [0.0, 0.9])
def test_forty_and_sixty_characters_are_the_hundred_of_one_row(cell: str, temperature: float) -> None:
    engine = ENGINES[cell]
    whole = alone(Row(np.array([1, 2, 3]), 100, temperature=temperature, seed=7), engine)
    first = alone(Row(np.array([1, 2, 3]), 40, temperature=temperature, seed=7, keep_state=True), engine)
    decoder = BatchDecoder(engine)
    second = Row(
        np.array([first.pending]), 60, temperature=temperature, seed=7, position=40, state=first.state, keep_state=True
    )
    decoder.admit(second)
    while not len(decoder.tick()):
        pass
    assert np.array_equal(np.concatenate([first.text_indices(), second.text_indices()]), whole.text_indices())


@pytest.mark.parametrize("cell", CELLS)
def test_a_row_resumed_from_a_snapshot_writes_the_same(cell: str) -> None:
    engine = ENGINES[cell]
    row = random_row(np.random.default_rng(4), forced=np.arange(20) % VOCAB)
    expected = alone(row, engine)
    for at in (1, 7, 19):
        taken: list[State] = []
        decoder = BatchDecoder(engine)
        decoder.admit(random_row(np.random.default_rng(5), num_chars=200))
        noted = again(row, snapshot_at=at, on_snapshot=taken.append)
        decoder.admit(noted)
        while len(noted.text_indices()) < noted.num_chars:
            decoder.tick()
        assert same(noted, expected)
        assert len(taken) == 1
        resumed = alone(row, engine, forced=row.forced[at:], state=taken[0])
        assert same(resumed, expected)


def test_a_text_longer_than_the_buffer_is_whole_though_nobody_collects() -> None:
    row = Row(np.array([1]), 3 * BUFFER_CHARS + 5)
    long = alone(row, ENGINES["rnn"])
    assert len(long.text_indices()) == row.num_chars
    assert np.array_equal(long.text_indices()[:50], alone(row, ENGINES["rnn"], num_chars=50).text_indices())


def test_collecting_early_changes_nothing() -> None:
    row = random_row(np.random.default_rng(9), num_chars=50)
    expected = alone(row, ENGINES["lstm"])
    decoder = BatchDecoder(ENGINES["lstm"])
    decoder.admit(row)
    while not len(decoder.tick(3)):
        decoder.collect(0)
        assert decoder.unread()[0] == 0
    assert same(row, expected)


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_log_probabilities_are_those_of_the_characters_written(temperature: float) -> None:
    engine = ENGINES["gru"]
    row = Row(np.array([1, 2, 3, 4]), 30, temperature=temperature, seed=3, logprobs=5)
    decoder = BatchDecoder(engine)
    decoder.admit(random_row(np.random.default_rng(1), num_chars=100))
    decoder.admit(row)
    decoder.admit(random_row(np.random.default_rng(2), logprobs=2))
    while len(row.text_indices()) < 30:
        decoder.tick(7)
    text = np.concatenate([row.forced, row.text_indices()])
    state, logits = engine.start(1), []
    for index in text[:-1]:
        step, state = engine.step(np.array([index]), state)
        logits.append(step)
    expected = measure(np.concatenate(logits[3:]), row.text_indices(), 5)
    for name in Measured._fields:
        found = np.concatenate([getattr(part, name) for part in row.measured])
        assert np.array_equal(found, getattr(expected, name))
    assert same(row, alone(row, engine, logprobs=None))


@pytest.mark.parametrize("row", [Row(np.array([1]), 5, temperature=1.0), Row(np.array([1, 2, 3]), 0, logprobs=0)])
def test_an_engine_that_gives_nonsense_is_noticed(row: Row) -> None:
    class Broken(PlainEngine):
        def step(self, ids: Int64s, state: State) -> tuple[Float32s2D, State]:
            return np.full((len(ids), V), np.nan, np.float32), state

    decoder = BatchDecoder(Broken())
    decoder.admit(row)
    with pytest.raises(FloatingPointError, match="not finite"):
        decoder.tick()


def test_python_works_as_often_for_a_thousand_rows_as_for_ten() -> None:
    def calls(rows: int, operation: Callable[[BatchDecoder], object]) -> int:
        import sys

        decoder = BatchDecoder(ENGINES["rnn"])
        for _ in range(rows):
            decoder.admit(Row(np.array([1, 2, 3]), 100))
        decoder.tick(5)
        count = 0

        def note(*_: object) -> None:
            nonlocal count
            count += 1

        sys.setprofile(note)
        try:
            operation(decoder)
        finally:
            sys.setprofile(None)
        return count

    few, many = (calls(rows, lambda decoder: decoder.tick(5)) for rows in (10, 1000))
    assert few == many
