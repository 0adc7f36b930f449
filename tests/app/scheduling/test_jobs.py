from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from app.scheduling.job import Job, job_of
from app.scheduling.jobs import GenerateJob, ScoreJob
from app.scheduling.reply import Reply
from app.scheduling.requests import Continuation, GenerateRequest, ScoreRequest
from model.arrays import Int64s, State
from model.decoding.measure import Measured, measure
from model.decoding.row import Row
from model.decoding.state_cache import StateCache
from model.sampling.options import Sampling
from tests.measured import same_measures
from tests.model.plain_engine import H, PlainEngine, S, V, decode

ENGINE = PlainEngine()
LOOP = asyncio.new_event_loop()
LOOP.close()
PREFIX = np.array([1, 2, 3, 4])


def generate(submitted: float = 0.0, **options: Any) -> GenerateJob:
    return GenerateJob(GenerateRequest(**{"prefix": PREFIX, "num_chars": 5, **options}), submitted, Reply(LOOP))


def begin(job: Job, cache: StateCache | None = None) -> tuple[list[Row], int | None, list[list[Row]]]:
    """Its first rows, what the cache spared, and the lists of rows that follow, as they come."""
    following: list[list[Row]] = []

    def follow(rows: Sequence[Row]) -> None:
        following.append(list(rows))

    rows, cached = job.begin(ENGINE, StateCache(10_000) if cache is None else cache, decode, follow)
    return rows, cached, following


def state(value: float) -> State:
    return (np.full(S, value, np.float32),)


def write(row: Row, text: str, end: bool = True) -> None:
    row.written.append(np.array([ord(c) - ord("a") for c in text], np.int32))
    row.owner.take(end)


def test_a_request_is_counted_as_its_choices_and_a_score_as_one() -> None:
    request = GenerateRequest(PREFIX, 5, n=3, caller="somebody")
    generation: Reply[Any] = Reply(LOOP)
    job: Job = GenerateJob(request, 1.5, generation)
    assert job.generation is generation
    assert (job.caller, job.bytes, job.size, job.read) == ("somebody", request.answer_bytes, 3, 4)
    assert (job.submitted, job.admitted, job.live, job.written) == (1.5, None, 0, 0)
    asked = ScoreRequest(np.arange(6), 2, caller="somebody")
    job = ScoreJob(asked, 2.5, Reply(LOOP))
    assert (job.caller, job.bytes, job.size, job.read) == ("somebody", asked.answer_bytes, 1, 6)
    assert (job.submitted, job.admitted, job.live, job.written) == (2.5, None, 0, 0)


def test_one_reads_the_prefix_and_the_others_join_it_before_its_last_character() -> None:
    job, cache = generate(n=3, sampling=Sampling(1.0, seed=10)), StateCache(10_000)
    (row,), cached, following = begin(job, cache)
    assert cached == 0
    assert (row.forced.tolist(), row.state, row.snapshot_at) == ([1, 2, 3, 4], None, 3)
    assert following == []
    assert row.on_snapshot is not None
    row.on_snapshot(state(7))
    length, found = cache.longest(PREFIX)
    assert length == 3
    assert found is not None
    assert found[0].tolist() == [7] * S
    ((second, third),) = following
    for number, other in enumerate((row, second, third)):
        assert (other.seed, job_of(other), other.owner) == (10 + number, job, job.parts[number])
        assert job.parts[number].row is other
    for other in (second, third):
        assert other.forced.tolist() == [4]
        assert other.state is not None
        assert other.state[0].tolist() == [7] * S
        assert other.snapshot_at == 0


def test_one_choice_waits_for_no_others() -> None:
    (row,), _, following = begin(generate())
    assert row.on_snapshot is not None
    row.on_snapshot(state(7))
    assert following == []


def test_what_the_cache_holds_of_a_prefix_is_not_read() -> None:
    cache = StateCache(10_000)
    cache.put(np.array([1, 2]), state(2))
    (row,), cached, _ = begin(generate(n=2), cache)
    assert cached == 2
    assert row.forced.tolist() == [3, 4]
    assert row.state is not None
    assert row.state[0].tolist() == [2] * S
    assert (row.snapshot_at, row.on_snapshot is not None) == (1, True)
    assert row.on_snapshot is not None
    row.on_snapshot(state(3))
    assert cache.longest(PREFIX)[0] == 3


def test_all_begin_at_once_where_the_cache_holds_all_but_the_last_character() -> None:
    cache = StateCache(10_000)
    cache.put(PREFIX[:-1], state(3))
    rows, cached, following = begin(generate(n=3), cache)
    assert (cached, following, len(rows)) == (3, [], 3)
    for row in rows:
        assert row.forced.tolist() == [4]
        assert row.state is not None
        assert row.state[0].tolist() == [3] * S
        assert row.on_snapshot is None


class NeverAsked(StateCache):
    def longest(self, indices: Int64s) -> tuple[int, State | None]:
        raise AssertionError(f"asked for {indices.tolist()}")


def test_one_character_and_a_text_taken_up_again_ask_no_cache() -> None:
    cache = NeverAsked(10_000)
    rows, cached, following = begin(generate(prefix=PREFIX[:1], n=2), cache)
    assert ([row.forced.tolist() for row in rows], cached, following) == ([[1], [1]], None, [])
    assert [row.state for row in rows] == [None, None]
    given = Continuation((np.array([5, 6], np.float32),), 3, 40)
    rows, cached, following = begin(generate(prefix=PREFIX[:0], n=2, state=given), cache)
    assert ([row.forced.tolist() for row in rows], cached, following) == ([[3], [3]], None, [])
    for row in rows:
        assert row.state is not None
        assert row.state[0].tolist() == [5, 6] + [0] * (S - H)
        assert row.position == 40


def test_an_answer_tells_how_long_it_waited_and_took_and_what_was_read_and_written() -> None:
    job = generate(submitted=10.0, n=2, prefix=PREFIX[:1], stop=("c",))
    rows, _, _ = begin(job)
    job.admitted = 10.25
    write(rows[0], "abc")
    write(rows[1], "abd")
    answer = job.result(now=11.25)
    assert [(choice.text, choice.finish_reason) for choice in answer.choices] == [("ab", "stop"), ("abd", "length")]
    assert (answer.queue_ms, answer.decode_ms) == pytest.approx((250, 1000))
    assert (answer.chars_written, job.read, job.written) == (5, 1, 5)


@pytest.mark.parametrize(("stop", "outcome"), [(("b",), "stop"), ((), "length")])
def test_a_request_that_is_over_says_how_and_holds_nothing(stop: tuple[str, ...], outcome: str) -> None:
    job = generate(n=2, prefix=PREFIX[:1], stop=stop)
    rows, _, _ = begin(job)
    write(rows[0], "ab")
    write(rows[1], "aaa")
    written, parts = job.written, list(job.parts)
    for _ in range(2):
        job.close()
        assert (job.outcome(), job.written, job.parts) == (outcome, written, [])
    assert [part.row for part in parts] == [None, None]


def test_a_request_that_is_over_before_it_wrote_counts_as_one_of_its_length() -> None:
    for begun in (False, True):
        job = generate()
        if begun:
            begin(job)
        job.close()
        assert (job.outcome(), job.written) == ("length", 0)


@pytest.mark.parametrize("indices", [[], [3]])
def test_a_score_of_nothing_needs_no_row(indices: list[int]) -> None:
    for asked, alternatives in ((2, 2), (V + 5, V)):
        job = ScoreJob(ScoreRequest(np.array(indices, np.int64), asked), 0.0, Reply(LOOP))
        rows, cached, following = begin(job)
        assert (rows, cached, following) == ([], None, [])
        found = job.result(1.0)
        assert (found.logprobs.shape, found.alternatives.shape) == ((0,), (0, alternatives))


def test_a_score_is_what_its_row_measured() -> None:
    job = ScoreJob(ScoreRequest(PREFIX, 2), 0.0, Reply(LOOP))
    (row,), cached, following = begin(job)
    assert (row.forced.tolist(), row.num_chars, row.logprobs) == ([1, 2, 3, 4], 0, 2)
    assert (cached, following, job_of(row), job.outcome()) == (None, [], job, "score")
    logits = np.random.default_rng(0).normal(size=(3, V)).astype(np.float32)
    whole = measure(logits, PREFIX[1:], 2)
    row.measured.append(Measured._make(values[:2] for values in whole))
    row.measured.append(Measured._make(values[2:] for values in whole))
    assert same_measures(job.result(1.0), whole)
    job.close()
    assert (job._pieces, job.written) == ([], 0)  # it holds nothing any more


def test_one_character_is_no_prefix_to_be_read_first_and_two_are() -> None:
    (row,), cached, _ = begin(generate(prefix=PREFIX[:2]))
    assert (cached, row.snapshot_at) == (0, 1)
    scores = [begin(ScoreJob(ScoreRequest(PREFIX[:n]), 0.0, Reply(LOOP)))[0] for n in (1, 2)]
    assert list(map(len, scores)) == [0, 1]
