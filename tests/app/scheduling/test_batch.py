"""A batch by hand: no thread, no event loop's turn, and a clock that goes when it is told to."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
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
from app.scheduling.outside import LONG_S, QUANTUM_S, QUANTUM_TURNS, TURN_S
from app.scheduling.reply import Reply
from app.scheduling.requests import Chunk, GenerateRequest, Result, ScoreRequest
from model.arrays import Int64s, Int64s2D, State
from model.config import ModelConfig
from model.decoding.decoder import BatchDecoder
from model.decoding.engine import Engine
from model.decoding.measure import Measured, joined
from model.decoding.state_cache import StateCache
from model.engines.choice import open_engine
from model.language_model import LanguageModel
from model.sampling.options import Sampling
from tests.measured import same_measures
from tests.models import tiny_checkpoint

CHECKPOINT = tiny_checkpoint("gru", 1, 16, 30)
ENGINE = open_engine(CHECKPOINT, "cpu", "onnxruntime", 1, spin=False)
LM = LanguageModel(CHECKPOINT, ENGINE)


@pytest.fixture(autouse=True)
def short_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that there are many, whatever the machine."""
    monkeypatch.setattr("model.decoding.decoder.MAX_STEPS", 5)


class Endless:
    """Writes zeros and costs nothing."""

    name = device = "test"
    config = ModelConfig("rnn", 1, 1, 5)
    state_dim = 1

    def start(self, n: int) -> State:
        return (np.zeros((n, 1), np.float32),)

    def step(self, ids: Int64s, state: Any) -> Any:
        return np.zeros((len(ids), 5), np.float32), state

    def advance(self, forced: Int64s2D, last: Int64s, state: Any) -> Any:
        return np.zeros_like(forced), state


class Bench:
    """A batch, its clock, and all that came out of it."""

    def __init__(self, max_rows: int, engine: Engine = ENGINE, cache_bytes: int = 0) -> None:
        self.now = 0.0
        self.loop = asyncio.new_event_loop()
        self.loop.close()  # nobody waits on it: what is done is read afterwards
        decode = CHECKPOINT.vocabulary.decode
        self.batch = Batch(engine, decode, max_rows, StateCache(cache_bytes), Observer(), lambda: self.now)

    def busy(self) -> bool:
        return self.batch.busy

    def put(self, request: GenerateRequest | ScoreRequest) -> Job:
        generation: Reply[Any] = Reply(self.loop)
        kind: Callable[..., Job] = GenerateJob if isinstance(request, GenerateRequest) else ScoreJob
        job = kind(request, self.now, generation)
        generation.watch(lambda: None, lambda: self.batch.wake([job]))
        self.batch.put([job])
        return job

    def turn(self, seconds: float = TURN_S) -> None:
        for call, what in self.batch.turn():
            call(what)
        self.batch.check()
        self.now += seconds


def is_over(job: Job) -> bool:
    return job.generation.done


def result(job: Job) -> Any:
    try:
        job.generation.__await__().send(None)
    except StopIteration as over:
        return over.value
    raise AssertionError("it is not over")


def read(job: Job) -> list[Chunk]:
    """The chunks that are there."""
    chunks, source = [], aiter(job.generation)
    while job.generation._chunks:
        try:
            anext(source).__await__().send(None)
        except StopIteration as over:
            chunks.append(over.value)
    return chunks


def cut(text: str, stops: tuple[str, ...]) -> tuple[str, str]:
    for end in range(1, len(text) + 1):
        complete = [stop for stop in stops if text[:end].endswith(stop)]
        if complete:
            return text[: end - len(max(complete, key=len))], "stop"
    return text, "length"


def library(prefix: Int64s, num_chars: int, sampling: Sampling, seed: int | None) -> str:
    (found,) = LM.generate(
        [CHECKPOINT.vocabulary.decode(prefix)],
        num_chars,
        temperature=sampling.temperature,
        top_k=sampling.top_k,
        top_p=sampling.top_p,
        seed=seed,
    )
    return found.generated


def random_request(rng: np.random.Generator, caller: str) -> GenerateRequest | ScoreRequest:
    prefix = rng.integers(0, 30, int(rng.integers(1, 25)))
    if rng.integers(4) == 0:
        return ScoreRequest(prefix, int(rng.integers(0, 3)), caller=caller)
    sampling = Sampling(0.9, 20, 0.95, int(rng.integers(1000))) if rng.integers(2) else Sampling()
    num_chars = int(rng.integers(1, 50))
    text = library(prefix, num_chars, sampling, sampling.seed)
    at = int(rng.integers(0, len(text)))
    return GenerateRequest(
        prefix,
        num_chars,
        sampling,
        n=int(rng.integers(1, 4)),
        stop=(text[at : at + 2],) if rng.integers(2) else (),
        logprobs=int(rng.integers(0, 3)) if rng.integers(2) else None,
        return_state=bool(rng.integers(2)),
        stream=bool(rng.integers(2)),
        caller=caller,
    )


def judge(job: Job, chunks: list[Chunk]) -> None:
    """Against the library, which decodes each alone and never parks."""
    if isinstance(job, ScoreJob):
        expected = LM.score(CHECKPOINT.vocabulary.decode(job.request.indices)).measured
        found: Measured = result(job)
        assert np.array_equal(found.logprobs, expected.logprobs)
        assert np.array_equal(found.entropies, expected.entropies)
        assert found.alternatives.shape == (job.read - 1, job.request.alternatives)
        return
    assert isinstance(job, GenerateJob)
    answer: Result = result(job)
    asked = job.request
    for choice in answer.choices:
        whole = library(asked.prefix, asked.num_chars, asked.sampling, choice.seed)
        assert (choice.text, choice.finish_reason) == cut(whole, asked.stop)
        own = [chunk for chunk in chunks if chunk.index == choice.index]
        if asked.stream:
            assert "".join(chunk.text for chunk in own) == choice.text
        if asked.logprobs is not None:
            assert choice.measured is not None
            scored = LM.score(CHECKPOINT.vocabulary.decode(asked.prefix) + choice.text).measured
            assert np.array_equal(choice.measured.logprobs, scored.logprobs[len(asked.prefix) - 1 :])
            assert choice.measured.alternatives.shape == (len(choice.text), asked.logprobs)
            if own:
                together = joined([chunk.measured for chunk in own if chunk.measured is not None])
                assert same_measures(together, choice.measured)
        if asked.return_state:
            bench = Bench(4)
            left = asked.num_chars - len(choice.text) + 10
            sampling = replace(asked.sampling, seed=choice.seed)
            nothing = np.zeros(0, np.int64)
            going_on = bench.put(GenerateRequest(nothing, left, sampling, state=choice.state))
            while not going_on.generation.done:
                bench.turn()
            longer = library(asked.prefix, len(choice.text) + left, asked.sampling, choice.seed)
            assert choice.text + result(going_on).choices[0].text == longer


@settings(max_examples=12)
@given(seed=st.integers(0, 2**32 - 1), max_rows=st.integers(1, 6), cache=st.sampled_from([0, 1 << 16]))
def test_whatever_is_parked_rests_or_leaves_every_answer_is_the_librarys(seed: int, max_rows: int, cache: int) -> None:
    rng = np.random.default_rng(seed)
    bench = Bench(max_rows, cache_bytes=cache)
    jobs: list[Job] = []
    gone: list[Job] = []
    seen: dict[Job, list[Chunk]] = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("app.scheduling.reply.UNREAD_BYTES", 2000)
        while len(jobs) < 8 or not all(job.generation.done for job in jobs if job not in gone):
            if len(jobs) < 8 and rng.integers(3) == 0:
                jobs.append(bench.put(random_request(rng, str(rng.integers(3)))))
            bench.turn(float(rng.choice([0.001, QUANTUM_S, LONG_S])))
            for job in jobs:
                if rng.integers(3) == 0:
                    seen.setdefault(job, []).extend(read(job))
            if jobs and rng.integers(20) == 0:
                gone.append(jobs[int(rng.integers(len(jobs)))])
                bench.batch.leave(gone[-1:])
    for job in jobs:
        if job.generation.done:
            judge(job, seen.get(job, []) + read(job))
    assert (bench.batch.rows, bench.batch.waiting) == (0, 0)


@settings(max_examples=30)
@given(
    places=st.integers(1, 12),
    long=st.integers(0, 40),
    before=st.integers(0, 3 * QUANTUM_TURNS),
    callers=st.lists(st.integers(0, 6), min_size=1, max_size=20),
)
def test_a_newcomer_is_seated_within_the_turns_that_are_stated(
    places: int, long: int, before: int, callers: list[int]
) -> None:
    bench = Bench(places, Endless())
    endless = GenerateRequest(np.zeros(1, np.int64), 10**9)
    for _ in range(long):
        bench.put(replace(endless, caller="long"))
    for _ in range(before):
        bench.turn()
    for job in list(bench.batch._open):
        if job.admitted is None:  # the long ones that are newcomers themselves
            bench.batch.leave([job])
    newcomers = [bench.put(replace(endless, caller=str(caller))) for caller in callers]
    while any(job.admitted is None for job in newcomers):
        bench.turn()
    firsts = [callers.index(caller) for caller in dict.fromkeys(callers)]
    for k, number in enumerate(firsts, 1):
        admitted = newcomers[number].admitted
        assert admitted is not None
        turns = round((admitted - newcomers[number].submitted) / TURN_S)
        assert turns <= -(-2 * k // places) * QUANTUM_TURNS + 1


def test_a_short_request_of_the_same_caller_is_not_behind_its_long_ones() -> None:
    bench = Bench(8, Endless())
    for _ in range(40):
        bench.put(GenerateRequest(np.zeros(1, np.int64), 10**9, n=2))
    for _ in range(25 * QUANTUM_TURNS):  # until each has had a place
        bench.turn()
    short = bench.put(GenerateRequest(np.zeros(1, np.int64), 1))
    turns = 0
    while not short.generation.done:
        bench.turn()
        turns += 1
    assert turns <= QUANTUM_TURNS + 2


def test_the_caller_with_most_places_makes_room_and_the_others_keep_theirs() -> None:
    bench = Bench(8, Endless())
    endless = GenerateRequest(np.zeros(1, np.int64), 10**9)
    modest = [bench.put(replace(endless, caller=name)) for name in ("one", "two")]
    for _ in range(20):
        bench.put(replace(endless, caller="many"))
    for _ in range(10 * QUANTUM_TURNS):
        bench.turn()
    for number in range(5):
        bench.put(replace(endless, caller=f"new{number}"))
        for _ in range(8 * QUANTUM_TURNS):
            bench.turn()
            assert set(modest) <= {row.owner.job for row in bench.batch._decoder.rows}


def test_what_was_parked_goes_on_though_newcomers_never_end() -> None:
    bench = Bench(4, Endless())
    parked = [bench.put(GenerateRequest(np.zeros(1, np.int64), 500, caller="long")) for _ in range(4)]
    for turns in range(1000):
        if all(job.generation.done for job in parked):
            break
        for caller in range(8):  # four times what the others can take in a quantum
            bench.put(GenerateRequest(np.zeros(1, np.int64), 5 * QUANTUM_TURNS, caller=f"{caller}"))
        if turns % 20 == 0:
            bench.batch.leave([job for job in bench.batch._open if job not in parked and job.admitted is None])
        bench.turn()
    assert all(job.generation.done for job in parked)


def test_a_stream_nobody_reads_rests_and_goes_on_when_it_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.scheduling.reply.UNREAD_BYTES", 8_000)
    bench = Bench(4, Endless())
    whole = 8_000
    job = bench.put(GenerateRequest(np.zeros(1, np.int64), whole, n=3, stream=True))
    other = bench.put(GenerateRequest(np.zeros(1, np.int64), 5000))
    while bench.batch.busy:
        bench.turn()
    assert other.generation.done
    assert not is_over(job)
    assert job.generation._sent < 12_000
    chunks = read(job)
    while not is_over(job):
        assert bench.busy()
        bench.turn()
        chunks += read(job)
        assert job.generation._sent - job.generation._read < 12_000
    assert sum(len(chunk.text) for chunk in chunks) == 3 * whole
    assert all(choice.text == "一" * whole for choice in result(job).choices)


@pytest.mark.parametrize("k", range(1, 13))
def test_an_error_at_any_place_of_a_turn_fails_whole_requests_and_leaves_the_others_right(k: int) -> None:
    rng = np.random.default_rng(k)
    bench = Bench(3)
    jobs = [bench.put(random_request(rng, str(number % 3))) for number in range(10)]
    calls = 0

    def failing(real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            nonlocal calls
            calls += 1
            if calls == 3 * k:
                raise MemoryError
            return real(*arguments, **options)

        return call

    with pytest.MonkeyPatch.context() as patch:
        for name in ("admit", "park", "remove", "collect"):
            patch.setattr(BatchDecoder, name, failing(getattr(BatchDecoder, name)))
        while bench.batch.busy:
            try:
                bench.turn(QUANTUM_S)
            except MemoryError:
                for call, what in bench.batch.fail():
                    call(what)
                bench.batch.check()
    for job in jobs:
        if not isinstance(job.generation.error, StepFailed):
            judge(job, read(job))
    assert any(job.generation.error is None for job in jobs)
