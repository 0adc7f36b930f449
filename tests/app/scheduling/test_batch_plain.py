"""A batch by hand over an engine of a few lines: every answer, every time and every figure can be told without it."""

from __future__ import annotations

import asyncio
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.refusals import StepFailed
from app.scheduling.batch import Batch
from app.scheduling.job import Job
from app.scheduling.jobs import GenerateJob, ScoreJob
from app.scheduling.observer import Observer
from app.scheduling.outside import LONG_S, QUANTUM_S, TURN_S
from app.scheduling.parts import FLUSH_S
from app.scheduling.reply import Reply
from app.scheduling.requests import GenerateRequest, ScoreRequest
from model.decoding.state_cache import StateCache
from model.sampling.options import Sampling
from model.sampling.plain import choose_reference
from model.sampling.random_stream import uniform
from tests.model.plain_engine import PlainEngine, V, decode, greedy, state_after

LETTERS = "abcdefg"
CALL_S = 2**-10  # no sum of it is rounded, and few of them are far from a quantum
LOOP = asyncio.new_event_loop()
LOOP.close()


@pytest.fixture(autouse=True)
def short_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("model.decoding.decoder.MAX_STEPS", 5)
    monkeypatch.setattr("app.scheduling.batch.TURN_S", 1000.0)  # a turn has five steps, whatever the machine


class Told(Observer):
    def __init__(self) -> None:
        self.ticks: list[tuple[int, int, float]] = []
        self.admissions: list[tuple[float, int | None]] = []
        self.firsts: list[float] = []

    def tick(self, rows: int, steps: int, seconds: float) -> None:
        self.ticks.append((rows, steps, seconds))

    def admitted(self, queue_s: float, cached_chars: int | None) -> None:
        self.admissions.append((queue_s, cached_chars))

    def first_character(self, seconds: float) -> None:
        self.firsts.append(seconds)


class Engine(PlainEngine):
    """Each call takes so much of the batch's time, or raises."""

    def __init__(self) -> None:
        self.now, self.call_s = 0.0, 0.0
        self.broken = False

    def advance(self, *arguments: Any) -> Any:
        self.now += self.call_s
        if self.broken:
            raise RuntimeError("broken for the test")
        return super().advance(*arguments)


class Bench:
    def __init__(self, max_rows: int = 4, cache_bytes: int = 0) -> None:
        self.engine, self.told, self.cache = Engine(), Told(), StateCache(cache_bytes)
        self.batch = Batch(self.engine, decode, max_rows, self.cache, self.told, lambda: self.engine.now)

    def busy(self) -> bool:
        return self.batch.busy

    def put(self, request: GenerateRequest | ScoreRequest) -> Any:
        generation: Reply[Any] = Reply(LOOP)
        at = self.engine.now
        score = isinstance(request, ScoreRequest)
        job: Any = ScoreJob(request, at, generation) if score else GenerateJob(request, at, generation)  # type: ignore[arg-type]
        generation.watch(lambda: None, lambda: self.batch.wake([job]))
        self.batch.put([job])
        return job

    def turn(self, seconds: float = 0.0) -> None:
        for call, what in self.batch.turn():
            call(what)
        self.batch.check()
        self.engine.now += seconds

    def turns_until(self, *jobs: Job, seconds: float = 0.0) -> int:
        turns = 0
        while not all(job.generation.done for job in jobs):
            assert turns < 1000
            self.turn(seconds)
            turns += 1
        return turns


def request(prefix: str = "abc", num_chars: int = 12, **options: Any) -> GenerateRequest:
    return GenerateRequest(np.array([LETTERS.index(c) for c in prefix]), num_chars, **options)


def text_of(prefix: str, num_chars: int) -> str:
    return "".join(LETTERS[v] for v in greedy([LETTERS.index(c) for c in prefix], num_chars))


def read(job: Any) -> list[tuple[int, str]]:
    """The chunks that are there, each with its choice."""
    chunks, source = [], aiter(job.generation)
    while job.generation._chunks:
        try:
            anext(source).send(None)
        except StopIteration as over:
            chunks.append((over.value.index, over.value.text))
    return chunks


def cut(text: str, stops: tuple[str, ...]) -> tuple[str, str]:
    for end in range(1, len(text) + 1):
        complete = [stop for stop in stops if text[:end].endswith(stop)]
        if complete:
            return text[: end - len(max(complete, key=len))], "stop"
    return text, "length"


def test_figures_say_who_decodes_who_waits_and_how_far_it_is() -> None:
    bench = Bench(max_rows=3)
    assert (bench.batch.busy, bench.batch.rows, bench.batch.waiting, bench.batch.steps) == (False, 0, 0, 0)
    bench.turn()
    assert bench.told.ticks == []
    one, two = bench.put(request("a", 12, n=2)), bench.put(request("a", 12, n=2))
    assert (bench.batch.busy, bench.batch.rows, bench.batch.waiting) == (True, 0, 4)
    assert one in bench.batch
    bench.engine.call_s = CALL_S
    bench.turn()
    assert (bench.batch.rows, bench.batch.waiting, bench.batch.steps) == (3, 1, 5)
    bench.turns_until(one, two)
    assert (bench.batch.busy, bench.batch.rows, bench.batch.waiting) == (False, 0, 0)
    # Twelve steps for three of the rows, and then for the last.
    assert bench.told.ticks == [(rows, steps, CALL_S) for rows in (3, 1) for steps in (5, 5, 2)]
    assert bench.batch.steps == 24
    assert one not in bench.batch


def test_times_run_from_when_a_request_came() -> None:
    bench = Bench(max_rows=1, cache_bytes=1 << 16)
    bench.engine.now, bench.engine.call_s = 100.0, CALL_S
    one, two = bench.put(request("abc", 5)), bench.put(request("abc", 5))
    bench.turns_until(one, two)
    # Reads two characters, and stops there for the state; then the third, and writes five. The second spares the two.
    assert bench.told.ticks == [(1, steps, CALL_S) for steps in (2, 5, 5)]
    assert bench.told.admissions == [(0, 0), (2 * CALL_S, 2)]
    assert bench.told.firsts == [2 * CALL_S, 3 * CALL_S]
    assert (one.admitted, two.admitted) == (100, 100 + 2 * CALL_S)
    answers = [job.generation.answer for job in (one, two)]
    assert [(answer.queue_ms, answer.decode_ms) for answer in answers] == [
        (0, 2000 * CALL_S),
        (2000 * CALL_S, 1000 * CALL_S),
    ]


def test_of_each_choice_the_first_character_is_told_once_but_of_no_row_that_reads_again() -> None:
    bench = Bench()
    text = text_of("abc", 40)
    job = bench.put(request("abc", 40, n=3, stop=(text[7:9],), return_state=True))
    other = bench.put(request("b", 40))
    bench.turns_until(job, other, seconds=FLUSH_S)
    assert len(bench.told.firsts) == 4


@pytest.mark.parametrize("stream", [False, True])
def test_texts_of_a_first_character_alone_take_no_step_and_no_place(stream: bool) -> None:
    bench = Bench(max_rows=1)
    first = np.array([0, 3, 0, 0, 2, 0, 0], np.float32)
    sampling = Sampling(1.0, seed=0)
    options: dict[str, Any] = {"n": 5, "sampling": sampling, "first": first, "stream": stream, "return_state": True}
    job = bench.put(request("", 1, **options))
    other = bench.put(request("a", 3))
    assert bench.turns_until(job) == 1
    expected = [LETTERS[choose_reference(first, 1.0, V, 1.0, uniform(seed, 0))] for seed in range(5)]
    assert [choice.text for choice in job.generation.answer.choices] == expected
    assert [choice.finish_reason for choice in job.generation.answer.choices] == ["length"] * 5
    assert [choice.state.position for choice in job.generation.answer.choices] == [1] * 5
    assert read(job) == (list(enumerate(expected)) if stream else [])
    assert bench.told.ticks[:1] == [(1, 3, 0.0)]
    assert len(bench.told.firsts) == 6
    assert (bench.told.admissions[0], job.outcome(), job.written) == ((0, None), "length", 5)
    assert other.generation.done


def test_a_row_that_was_parked_does_not_begin_again() -> None:
    bench = Bench(max_rows=1)
    jobs = [bench.put(request("a", 60, caller=str(number))) for number in range(3)]
    bench.turns_until(*jobs, seconds=QUANTUM_S)
    assert len(bench.told.firsts) == 3
    assert len(bench.told.admissions) == 3


def test_a_stream_is_shown_at_once_and_then_every_so_often() -> None:
    bench = Bench()
    job = bench.put(request("a", 60, stream=True))
    sizes = []
    while not job.generation.done:
        bench.turn(0.55 * FLUSH_S)
        sizes.append(sum(len(text) for _, text in read(job)))
    assert sizes == [5, 0, 10, 0, 10, 0, 10, 0, 10, 0, 10, 5]


def test_a_text_that_may_be_stopped_is_looked_at_now_and_then_and_ended_there() -> None:
    bench = Bench()
    text = text_of("a", 60)
    stop = next(text[at : at + 3] for at in range(6, 40) if text.index(text[at : at + 3]) == at)
    job = bench.put(request("a", 60, stop=(stop,)))
    plain = bench.put(request("a", 60))
    turns = bench.turns_until(job, seconds=FLUSH_S)
    assert turns == -(-(text.index(stop) + 3) // 5)
    assert not plain.generation.done
    assert bench.batch.rows == 1
    assert job.generation.answer.choices[0].text == text[: text.index(stop)]
    bench.turns_until(plain)
    assert plain.generation.answer.choices[0].text == text


def test_a_stream_nobody_reads_leaves_its_places_to_others_and_comes_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.scheduling.reply.UNREAD_BYTES", 1500)
    bench = Bench(max_rows=2)
    job = bench.put(request("a", 100, n=3, stream=True))
    while bench.batch.busy:
        bench.turn(FLUSH_S)
    assert not job.generation.done
    assert (bench.batch.rows, bench.batch.waiting, job in bench.batch) == (0, 3, True)
    chunks = read(job)
    assert bench.busy()
    while not job.generation.done:
        bench.turn(FLUSH_S)
        chunks += read(job)
    for index in range(3):
        assert "".join(text for of, text in chunks if of == index) == text_of("a", 100)


def test_an_engine_that_fails_takes_who_is_in_it_and_leaves_who_waits_or_rests() -> None:
    bench = Bench(max_rows=1, cache_bytes=1 << 16)
    parked, doomed, waiting = (bench.put(request("ab", 60, caller=name)) for name in ("one", "two", "three"))
    bench.turn(QUANTUM_S)
    bench.turn(0.0)
    assert doomed.admitted is not None
    assert waiting.admitted is None
    assert len(bench.cache) == 1
    bench.engine.broken = True
    with pytest.raises(RuntimeError):
        bench.turn()
    calls = bench.batch.fail()
    assert [(call, type(error)) for call, error in calls] == [(doomed.generation.fail, StepFailed)]
    assert [str(error) for _, error in calls] == ["the model failed while it was writing this"]
    bench.batch.check()
    assert (len(bench.cache), bench.batch.rows, doomed in bench.batch) == (0, 0, False)
    assert doomed.parts == []
    bench.engine.broken = False
    bench.turns_until(parked, waiting)
    for job in (parked, waiting):
        assert job.generation.answer.choices[0].text == text_of("ab", 60)
    assert bench.batch.steps > 0


def test_what_was_done_in_a_turn_before_it_failed_is_told_with_the_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench()
    done, doomed = bench.put(request("a", 5)), bench.put(request("a", 50))

    def fail(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr("model.decoding.decoder.BatchDecoder.remove", fail)
    with pytest.raises(MemoryError):
        bench.turn()
    monkeypatch.undo()
    assert [call for call, _ in bench.batch.fail()] == [done.generation.finish, doomed.generation.fail]
    assert bench.batch.turn() == []


def test_a_request_that_cannot_begin_fails_alone_and_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench()
    others = [bench.put(request("a", 12)) for _ in range(2)]
    wrong = bench.put(request("abc", 12))
    monkeypatch.setattr(StateCache, "longest", lambda *_: 1 / 0)
    bench.turns_until(*others, wrong)
    assert isinstance(wrong.generation.error, StepFailed)
    assert isinstance(wrong.generation.error.__cause__, ZeroDivisionError)
    assert wrong not in bench.batch
    assert wrong.admitted is None
    assert wrong.parts == []
    assert [job.generation.answer.choices[0].text for job in others] == [text_of("a", 12)] * 2


def test_a_score_has_a_figure_of_each_character_but_the_first() -> None:
    bench = Bench()
    read = [1, 2, 3, 4, 5, 6, 0, 1]
    indices = np.array(read)
    job, nothing = bench.put(ScoreRequest(indices, 2)), bench.put(ScoreRequest(indices[:1], 2))
    other = bench.put(request("a", 12))
    bench.turns_until(job, nothing, other)
    found = job.generation.answer
    likeliest = [(a + 2 * b) % V for a, b in (state_after(read[: at + 1]) for at in range(len(read) - 1))]
    assert found.alternatives[:, 0].tolist() == likeliest
    exact = [-np.abs(np.arange(V) - v).astype(float) for v in likeliest]
    logprobs = [row[c] - np.log(np.exp(row).sum()) for row, c in zip(exact, indices[1:], strict=True)]
    assert np.allclose(found.logprobs, logprobs)
    assert nothing.generation.answer.logprobs.shape == (0,)
    assert bench.told.admissions == [(0.0, None)] * 3
    assert (job.live, nothing.live) == (0, 0)


def test_who_leaves_is_gone_wherever_it_is_and_what_it_held_is_let_go(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.scheduling.reply.UNREAD_BYTES", 300)
    bench = Bench(max_rows=1)
    resting = bench.put(request("a", 100, stream=True))
    while bench.batch.busy:
        bench.turn(FLUSH_S)
    parked, decoding, waiting = (bench.put(request("a", 100, caller=name)) for name in ("one", "two", "three"))
    bench.turn(QUANTUM_S)
    bench.turn()
    stays = bench.put(request("a", 10, caller="four"))
    bench.batch.leave([resting, parked, decoding, waiting])
    bench.batch.leave([resting, parked])
    bench.batch.leave([])
    bench.batch.check()
    assert (bench.batch.rows, bench.batch.waiting) == (0, 1)
    assert [job.parts for job in (resting, parked, decoding, waiting)] == [[]] * 4
    bench.turns_until(stays)
    assert stays.generation.answer.choices[0].text == text_of("a", 10)


def test_sampled_choices_differ_and_each_has_its_seed() -> None:
    bench = Bench()
    sampling = Sampling(5.0, seed=3)
    job = bench.put(request("abc", 30, n=2, sampling=sampling))
    bench.turns_until(job)
    first, second = job.generation.answer.choices
    alone = bench.put(request("abc", 30, sampling=Sampling(5.0, seed=4)))
    bench.turns_until(alone)
    assert (first.seed, second.seed) == (3, 4)
    assert second.text == alone.generation.answer.choices[0].text != first.text


def test_a_turn_is_no_longer_than_the_engine_may_take() -> None:
    assert 0 < TURN_S <= FLUSH_S


@settings(max_examples=10)
@given(st.integers(0, 2**32 - 1), st.integers(1, 5), st.sampled_from([0, 1 << 16]))
def test_every_answer_is_what_is_told_by_hand_whoever_is_parked_rests_or_leaves(
    seed: int, max_rows: int, cache_bytes: int
) -> None:
    rng = np.random.default_rng(seed)
    bench = Bench(max_rows, cache_bytes)
    jobs: list[Any] = []
    gone: set[Job] = set()
    texts: dict[tuple[Job, int], str] = {}
    turns = 0
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("app.scheduling.reply.UNREAD_BYTES", 900)
        while len(jobs) < 10 or not all(job.generation.done for job in jobs if job not in gone):
            turns += 1
            assert turns < 2000
            if len(jobs) < 10 and rng.integers(2):
                prefix = "".join(rng.choice(list(LETTERS), int(rng.integers(1, 9))))
                num_chars = int(rng.integers(1, 30))
                at = int(rng.integers(0, num_chars))
                stop = (text_of(prefix, num_chars)[at : at + 2],) if rng.integers(2) else ()
                options = {"stop": stop, "stream": bool(rng.integers(2)), "return_state": bool(rng.integers(2))}
                caller, n = str(rng.integers(3)), int(rng.integers(1, 4))
                jobs.append(bench.put(request(prefix, num_chars, caller=caller, n=n, **options)))
            bench.turn(float(rng.choice([0.001, QUANTUM_S, LONG_S])))
            assert bench.batch.rows <= max_rows
            if rng.integers(2):
                for job in jobs:
                    for index, text in read(job):
                        texts[job, index] = texts.get((job, index), "") + text
            if jobs and rng.integers(20) == 0:
                job = jobs[int(rng.integers(len(jobs)))]
                bench.batch.leave([job])
                assert job not in bench.batch
                if not job.generation.done:
                    gone.add(job)
    for job in jobs:
        if job in gone:
            continue
        for index, text in read(job):
            texts[job, index] = texts.get((job, index), "") + text
        asked = job.request
        prefix = decode(asked.prefix)
        expected, reason = cut(text_of(prefix, asked.num_chars), asked.stop)
        answer = job.generation.answer
        assert answer is not None
        assert [choice.index for choice in answer.choices] == list(range(asked.n))
        for choice in answer.choices:
            assert (choice.text, choice.finish_reason) == (expected, reason)
            assert texts.get((job, choice.index), "") == (expected if asked.stream else "")
            if asked.return_state:
                whole = [LETTERS.index(c) for c in prefix + expected]
                assert [array.tolist() for array in choice.state.arrays] == [list(state_after(whole[:-1]))]
                assert (choice.state.pending, choice.state.position) == (whole[-1], len(expected))
            else:
                assert choice.state is None
        assert answer.chars_written == asked.n * len(expected)
        assert job not in bench.batch
    assert not bench.batch.busy
    assert (bench.batch.rows, bench.batch.waiting) == (0, 0)
