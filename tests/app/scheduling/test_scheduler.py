"""Tests of the decode thread: what is answered, and that nobody's answer depends on anybody else."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Coroutine
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from app.refusals import AnswersFull, Cancelled, DeadlineExceeded, Draining, NotReady, QueueFull, StepFailed
from app.scheduling.answer_budget import AnswerBudget
from app.scheduling.observer import Observer
from app.scheduling.reply import Reply
from app.scheduling.requests import GenerateRequest, Result, ScoreRequest
from app.scheduling.scheduler import Scheduler
from model.decoding.engine import Engine
from model.engines.choice import open_engine
from model.language_model import LanguageModel
from model.sampling.options import Sampling
from tests.models import random_prefix, tiny_checkpoint

CHECKPOINT = tiny_checkpoint("lstm", 2, 24, 60)
ENGINE = open_engine(CHECKPOINT, "cpu", "onnxruntime", 1, spin=False)
LM = LanguageModel(CHECKPOINT, ENGINE)
SAMPLED = Sampling(0.9, 20, 0.95, 7)


class Slow:
    """An engine whose every call waits until it may go on, and raises what it is told to."""

    def __init__(self, engine: Engine) -> None:
        self.config, self.start, self.state_dim = engine.config, engine.start, engine.state_dim
        self.name, self.device = engine.name, engine.device
        self.engine = engine
        self.may_go = threading.Event()
        self.may_go.set()
        self.broken: BaseException | None = None
        self.calls = 0

    def step(self, *arguments: Any) -> Any:
        return self._call(self.engine.step, *arguments)

    def advance(self, *arguments: Any) -> Any:
        return self._call(self.engine.advance, *arguments)

    def _call(self, call: Callable[..., Any], *arguments: Any) -> Any:
        assert self.may_go.wait(20)
        self.calls += 1
        if self.broken is not None:
            raise self.broken
        return call(*arguments)


def serve(use: Callable[[Scheduler], Coroutine[None, None, None]], engine: Engine = ENGINE, **options: Any) -> None:
    async def run() -> None:
        scheduler = Scheduler(engine, CHECKPOINT.vocabulary, asyncio.get_running_loop(), time.perf_counter, **options)
        scheduler.start()
        try:
            while scheduler.problem() is not None:
                await asyncio.sleep(0.002)
            await asyncio.wait_for(use(scheduler), 300)
            scheduler.check()
        finally:
            if isinstance(engine, Slow):
                engine.may_go.set()
            scheduler.close()
            await asyncio.sleep(0.01)

    asyncio.run(run())


def prefixes(count: int, longest: int = 12) -> list[str]:
    rng = np.random.default_rng(count)
    return [random_prefix(CHECKPOINT, rng, longest) for _ in range(count)]


def request(prefix: str, num_chars: int = 30, **options: Any) -> GenerateRequest:
    return GenerateRequest(CHECKPOINT.vocabulary.encode(prefix).astype(np.int64), num_chars, **options)


def library(prefix: str, num_chars: int = 30, sampling: Sampling = SAMPLED) -> str:
    (generation,) = LM.generate(
        [prefix],
        num_chars,
        temperature=sampling.temperature,
        top_k=sampling.top_k,
        top_p=sampling.top_p,
        seed=sampling.seed,
    )
    return generation.generated


@pytest.mark.parametrize("sampling", [Sampling(), SAMPLED])
def test_two_hundred_at_once_each_get_the_text_they_would_get_alone(sampling: Sampling) -> None:
    async def use(scheduler: Scheduler) -> None:
        asked = prefixes(200)
        pending = [scheduler.submit(request(p, 5 + i % 30, sampling=sampling)) for i, p in enumerate(asked)]
        for number, (prefix, generation) in enumerate(zip(asked, pending, strict=True)):
            result = await generation
            (choice,) = result.choices
            assert choice.text == library(prefix, 5 + number % 30, sampling)
            assert choice.finish_reason == "length"
            assert result.chars_written == len(choice.text)

    serve(use, max_rows=16, cache_bytes=1 << 20)


def test_chunks_add_up_to_the_text_and_the_first_comes_before_the_end() -> None:
    async def use(scheduler: Scheduler) -> None:
        generation = scheduler.submit(request("一丁", 3000, stream=True, sampling=SAMPLED))
        chunks = [chunk.text async for chunk in generation]
        assert all(chunks)
        assert len(chunks) > 1
        (choice,) = (await generation).choices
        assert "".join(chunks) == choice.text == library("一丁", 3000)

    serve(use)


def test_choices_share_one_reading_and_each_is_what_its_own_seed_gives() -> None:
    class Reading(Observer):
        steps = 0

        def tick(self, rows: int, steps: int, _: float) -> None:
            self.steps += rows * steps

    seen = Reading()

    async def use(scheduler: Scheduler) -> None:
        (prefix,) = prefixes(1, 400)
        prefix = (prefix * 400)[:400]
        result = await scheduler.submit(request(prefix, 10, n=5, sampling=SAMPLED))
        assert [choice.seed for choice in result.choices] == [7, 8, 9, 10, 11]
        for choice in result.choices:
            assert choice.text == library(prefix, 10, replace(SAMPLED, seed=choice.seed))
        assert seen.steps < 2 * 400

    serve(use, observer=seen)


@pytest.mark.parametrize("cut", ["length", "stop"])
@pytest.mark.parametrize("sampling", [Sampling(), SAMPLED])
def test_a_text_taken_up_again_goes_on_as_if_it_had_never_been_left(cut: str, sampling: Sampling) -> None:
    async def use(scheduler: Scheduler) -> None:
        for prefix in ("一", "一丁七"):
            whole = library(prefix, 100, sampling)
            stop = (whole[40:43],) if cut == "stop" else ()
            asked = request(prefix, 90 if stop else 40, sampling=sampling, return_state=True, stop=stop)
            (first,) = (await scheduler.submit(asked)).choices
            assert first.finish_reason == cut
            assert first.state is not None
            assert whole.startswith(first.text)
            left = 100 - len(first.text)
            going_on = replace(asked, prefix=np.zeros(0, np.int64), num_chars=left, state=first.state, stop=())
            (second,) = (await scheduler.submit(going_on)).choices
            assert first.text + second.text == whole
            assert second.state is not None
            assert second.state.position == 100

    serve(use)


def test_a_stop_string_ends_the_text_before_it_streamed_or_not() -> None:
    async def use(scheduler: Scheduler) -> None:
        whole = library("一丁", 400)
        stop = whole[200:204]
        expected = whole[: whole.index(stop)]
        for stream in (False, True):
            generation = scheduler.submit(request("一丁", 400, stop=(stop,), stream=stream, sampling=SAMPLED))
            chunks = [chunk.text async for chunk in generation]
            (choice,) = (await generation).choices
            assert (choice.text, choice.finish_reason) == (expected, "stop")
            assert "".join(chunks) == (expected if stream else "")

    serve(use)


def test_log_probabilities_cover_exactly_the_text() -> None:
    async def use(scheduler: Scheduler) -> None:
        whole = library("一丁", 200)
        for stop in ((), (whole[50:52],)):
            generation = scheduler.submit(request("一丁", 200, stop=stop, stream=True, sampling=SAMPLED, logprobs=3))
            chunks = [chunk async for chunk in generation]
            (choice,) = (await generation).choices
            assert choice.measured is not None
            together = np.concatenate([chunk.measured.logprobs for chunk in chunks if chunk.measured])
            assert np.array_equal(together, choice.measured.logprobs)
            assert len(together) == len(choice.text)
            scored = LM.score("一丁" + choice.text).measured.logprobs[1:]
            assert np.array_equal(choice.measured.logprobs, scored)
            assert choice.measured.alternatives.shape == (len(choice.text), 3)

    serve(use)


def test_a_prefix_read_before_is_not_read_again_and_the_text_is_the_same() -> None:
    class Cached(Observer):
        def __init__(self) -> None:
            self.chars: list[int | None] = []

        def admitted(self, _: float, cached_chars: int | None) -> None:
            self.chars.append(cached_chars)

    seen = Cached()

    async def use(scheduler: Scheduler) -> None:
        prefix = prefixes(3, 60)[2] + "一丁七"
        for asked in (prefix, prefix, prefix + "一丁", prefix[:-1]):
            result = await scheduler.submit(request(asked, sampling=SAMPLED))
            assert result.choices[0].text == library(asked)
        assert seen.chars == [0, len(prefix) - 1, len(prefix) - 1, 0]

    serve(use, observer=seen, cache_bytes=1 << 20)


def test_a_cancelled_request_frees_its_row_and_its_place_in_the_queue() -> None:
    async def use(scheduler: Scheduler) -> None:
        endless = scheduler.submit(request("一", 1_000_000_000))
        waiting = scheduler.submit(request("一丁", 1_000_000_000))
        other = scheduler.submit(request("七", 10))
        while not scheduler._thread.batch.rows:
            await asyncio.sleep(0.001)
        waiting.cancel()
        endless.cancel()
        assert (await other).choices[0].text == library("七", 10, Sampling())
        for gone in (endless, waiting):
            with pytest.raises(Cancelled):
                await gone
        await asyncio.sleep(0.05)
        assert (scheduler._thread.batch.rows, scheduler._thread.batch.waiting) == (0, 0)

    serve(use, max_rows=1)


def test_a_full_queue_is_refused_at_once() -> None:
    async def use(scheduler: Scheduler) -> None:
        running = scheduler.submit(request("一", 1_000_000_000))
        while not scheduler._thread.batch.rows:
            await asyncio.sleep(0.001)
        waiting = [scheduler.submit(request("一", 10)) for _ in range(2)]
        with pytest.raises(QueueFull) as refused:
            scheduler.submit(request("一", 10))
        assert refused.value.retry_after_s == 1
        running.cancel()
        for generation in waiting:
            assert len((await generation).choices[0].text) == 10

    serve(use, max_rows=1, max_queue=2)


def test_the_queue_counts_continuations_and_keeps_its_last_eighth_for_who_has_nothing_open() -> None:
    async def use(scheduler: Scheduler) -> None:
        one = [scheduler.submit(request("一", 1_000_000_000, n=4, caller="one")) for _ in range(15)]
        with pytest.raises(QueueFull):
            scheduler.submit(request("一", 10, caller="one"))
        other = scheduler.submit(request("一", 10, n=3, caller="other"))
        with pytest.raises(QueueFull):
            scheduler.submit(request("一", 10, caller="other"))
        third = scheduler.submit(request("一", 10, n=5, caller="third"))
        with pytest.raises(QueueFull):
            scheduler.submit(request("一", 10, caller="fourth"))
        for generation in one:
            generation.cancel()
        await other
        await third

    serve(use, max_rows=4, max_queue=64)


def test_an_answer_that_takes_too_long_is_given_up_decoding_or_waiting() -> None:
    async def use(scheduler: Scheduler) -> None:
        late = [scheduler.submit(request("一", 1_000_000_000, timeout_s=0.05)) for _ in range(2)]
        for generation in late:
            with pytest.raises(DeadlineExceeded):
                await generation
        assert len((await scheduler.submit(request("一", 10, timeout_s=20))).choices[0].text) == 10
        assert scheduler._thread.batch.rows == 0

    serve(use, max_rows=1)


def test_an_error_in_a_step_fails_those_in_flight_and_nobody_after_them() -> None:
    engine = Slow(ENGINE)

    async def use(scheduler: Scheduler) -> None:
        await scheduler.submit(request("一丁七", 10))
        engine.may_go.clear()
        doomed = [scheduler.submit(request(p, 20)) for p in prefixes(4)]
        engine.broken = RuntimeError("broken for the test")
        engine.may_go.set()
        for generation in doomed:
            with pytest.raises(StepFailed):
                await generation
        engine.broken = None
        assert len(scheduler.cache) == 0
        assert (await scheduler.submit(request("一丁", sampling=SAMPLED))).choices[0].text == library("一丁")
        assert scheduler.problem() is None

    serve(use, engine, cache_bytes=1 << 20)


def test_a_model_that_fails_three_times_is_not_ready_until_it_works_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.scheduling.worker.PROBE_S", 0.02)
    engine = Slow(ENGINE)

    async def use(scheduler: Scheduler) -> None:
        engine.broken = RuntimeError("broken for the test")
        with pytest.raises(StepFailed):
            await scheduler.submit(request("一", 5))
        while scheduler.problem() is None:
            await asyncio.sleep(0.005)
        assert "times in a row" in str(scheduler.problem())
        with pytest.raises(NotReady):
            scheduler.submit(request("一", 5))
        engine.broken = None
        while scheduler.problem() is not None:
            await asyncio.sleep(0.005)
        assert len((await scheduler.submit(request("一", 5))).choices[0].text) == 5

    serve(use, engine)


def test_a_step_that_hangs_makes_the_model_not_ready() -> None:
    engine = Slow(ENGINE)

    async def use(scheduler: Scheduler) -> None:
        engine.may_go.clear()
        generation = scheduler.submit(request("一", 5))
        while scheduler.problem(stall_s=0.01) is None:
            await asyncio.sleep(0.005)
        assert scheduler.problem(stall_s=0.01) == "has been in one step for more than 0.01 s"
        engine.may_go.set()
        await generation
        assert scheduler.problem(stall_s=0.5) is None

    serve(use, engine)


async def hangs(scheduler: Scheduler, engine: Slow, timeout_s: float | None = None) -> Reply[Result]:
    """A request that is in an engine call which does not come back."""
    engine.may_go.clear()
    generation = scheduler.submit(request("一", 5, timeout_s=timeout_s))
    while scheduler._thread.batch.rows == 0:
        await asyncio.sleep(0.001)
    return generation


def test_a_deadline_is_kept_though_the_engine_hangs_for_who_decodes_and_for_who_waits() -> None:
    engine = Slow(ENGINE)

    async def use(scheduler: Scheduler) -> None:
        decoding = await hangs(scheduler, engine, timeout_s=0.05)
        patient = scheduler.submit(request("一", 5))
        behind_it = scheduler.submit(request("一丁", 5, timeout_s=0.05))
        for late in (decoding, behind_it, scheduler.submit_score(ScoreRequest(np.arange(5), timeout_s=0.05))):
            with pytest.raises(DeadlineExceeded):
                await asyncio.wait_for(late, 5)
        assert not patient.done
        assert len(scheduler._inbox) == 1
        engine.may_go.set()
        assert (await patient).choices[0].text == library("一", 5, Sampling())

    serve(use, engine)


def test_a_model_that_hangs_refuses_instead_of_queueing() -> None:
    engine = Slow(ENGINE)

    async def use(scheduler: Scheduler) -> None:
        there = await hangs(scheduler, engine)
        while scheduler.problem() is None:
            await asyncio.sleep(0.005)
        with pytest.raises(NotReady, match="has been in one step for more than"):
            scheduler.submit(request("一", 5))
        with pytest.raises(NotReady):
            scheduler.submit_score(ScoreRequest(np.arange(5)))
        engine.may_go.set()
        await there
        while scheduler.problem() is not None:
            await asyncio.sleep(0.005)
        await scheduler.submit(request("一", 5))

    serve(use, engine, stall_s=0.05)


@pytest.mark.parametrize("error", [SystemExit("for the test"), KeyboardInterrupt()])
def test_a_thread_that_ends_fails_what_is_open_and_takes_nothing_more(error: BaseException) -> None:
    engine = Slow(ENGINE)

    async def use(scheduler: Scheduler) -> None:
        decoding = await hangs(scheduler, engine)
        waiting = [scheduler.submit(request("一丁", 5)) for _ in range(3)]
        engine.broken = error
        engine.may_go.set()
        for generation in [decoding, *waiting]:
            with pytest.raises(StepFailed):
                await asyncio.wait_for(generation, 5)
        with pytest.raises(NotReady, match="is not running"):
            scheduler.submit(request("一", 5))
        assert scheduler.problem() == "is not running"
        assert await scheduler.drain(5)

    serve(use, engine, max_rows=1)


def test_memory_that_is_short_in_a_step_and_while_that_is_told_harms_only_who_is_in_flight(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    engine = Slow(ENGINE)

    def no_memory(*_: object, **__: object) -> None:
        raise MemoryError

    async def use(scheduler: Scheduler) -> None:
        doomed = await hangs(scheduler, engine)
        monkeypatch.setattr("app.scheduling.worker.log.error", no_memory)
        engine.broken = MemoryError()
        engine.may_go.set()
        with pytest.raises(StepFailed):
            await asyncio.wait_for(doomed, 5)
        monkeypatch.setattr("app.scheduling.batch.Batch.fail", no_memory)  # not even who is affected can be told
        engine.may_go.clear()
        doomed = scheduler.submit(request("一", 5))
        engine.may_go.set()
        with pytest.raises(StepFailed):
            await asyncio.wait_for(doomed, 5)
        engine.broken = None
        assert (await scheduler.submit(request("一", 5))).choices[0].text == library("一", 5, Sampling())

    serve(use, engine)


@pytest.mark.parametrize("k", range(1, 12))
def test_an_engine_that_fails_at_the_kth_call_leaves_nobody_without_an_answer(k: int) -> None:
    class Failing(Slow):
        def _call(self, call: Callable[..., Any], *arguments: Any) -> Any:
            self.calls += 1
            if self.calls == k:
                raise RuntimeError("broken for the test")
            return call(*arguments)

    async def use(scheduler: Scheduler) -> None:
        pending: list[Reply[Any]] = []
        for number, prefix in enumerate(prefixes(30, 20)):
            options: dict[str, Any] = {"n": 1 + number % 3, "sampling": SAMPLED, "stream": number % 2 == 0}
            pending.append(scheduler.submit(request(prefix, 20, **options)))
        pending.append(scheduler.submit_score(ScoreRequest(np.arange(50))))
        answered = 0
        for generation in pending:
            try:
                await asyncio.wait_for(generation, 10)
                answered += 1
            except StepFailed:
                continue
        assert answered >= len(pending) - 4
        assert (scheduler._size, len(scheduler._open)) == (0, 0)

    serve(use, Failing(ENGINE), max_rows=4)


@pytest.mark.parametrize("name", ["queue", "tick", "admitted", "first_character", "finished"])
def test_an_observer_that_raises_harms_no_answer(name: str, caplog: pytest.LogCaptureFixture) -> None:
    class Raising(Observer):
        pass

    def fail(*_: object) -> None:
        raise RuntimeError("broken for the test")

    setattr(Raising, name, fail)

    async def use(scheduler: Scheduler) -> None:
        for _ in range(2):
            assert (await scheduler.submit(request("一丁", 20))).choices[0].text == library("一丁", 20, Sampling())

    serve(use, observer=Raising())
    assert [record.name for record in caplog.records] == ["app.scheduling.quiet"]


def test_an_error_in_admission_fails_that_request_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    from app.scheduling import jobs

    real = jobs.GenerateJob.begin

    def begin(job: jobs.GenerateJob, *arguments: Any) -> Any:
        if job.request.num_chars == 13:
            raise RuntimeError("broken for the test")
        return real(job, *arguments)

    monkeypatch.setattr(jobs.GenerateJob, "begin", begin)

    async def use(scheduler: Scheduler) -> None:
        others = [scheduler.submit(request("一丁", 20)) for _ in range(5)]
        with pytest.raises(StepFailed):
            await scheduler.submit(request("一", 13))
        for generation in others:
            assert (await generation).choices[0].text == library("一丁", 20, Sampling())
        assert scheduler.failures == 0

    serve(use)


def test_draining_is_over_in_time_though_the_engine_hangs() -> None:
    engine = Slow(ENGINE)

    async def use(scheduler: Scheduler) -> None:
        there = await hangs(scheduler, engine)
        assert not await asyncio.wait_for(scheduler.drain(0.05), 5)
        with pytest.raises(Draining):
            await there

    serve(use, engine)


def test_draining_refuses_what_is_new_and_finishes_what_is_there() -> None:
    async def use(scheduler: Scheduler) -> None:
        there = [scheduler.submit(request("一", 2000)) for _ in range(5)]
        draining = asyncio.ensure_future(scheduler.drain(20))
        await asyncio.sleep(0)
        with pytest.raises(Draining):
            scheduler.submit(request("一", 5))
        assert scheduler.problem() == "is shutting down"
        assert await draining
        assert all(generation.done for generation in there)
        assert len((await there[0]).choices[0].text) == 2000

    serve(use, max_rows=2)


def test_draining_gives_up_when_time_is_up() -> None:
    async def use(scheduler: Scheduler) -> None:
        endless = [scheduler.submit(request("一", 1_000_000_000)) for _ in range(3)]
        assert not await scheduler.drain(0.05)
        for generation in endless:
            with pytest.raises(Draining):
                await generation

    serve(use, max_rows=2)


def test_scores_are_those_of_the_library_while_others_write() -> None:
    async def use(scheduler: Scheduler) -> None:
        texts = prefixes(5, 300)
        writing = scheduler.submit(request("一丁", 500, sampling=SAMPLED))
        scores = [
            scheduler.submit_score(ScoreRequest(CHECKPOINT.vocabulary.encode(text).astype(np.int64), 4))
            for text in texts
        ]
        for text, generation in zip(texts, scores, strict=True):
            measured = await generation
            assert np.array_equal(measured.logprobs, LM.score(text).measured.logprobs)
            assert measured.alternatives.shape == (len(text) - 1, 4)
        assert (await writing).choices[0].text == library("一丁", 500)

    serve(use)


def test_the_loop_is_called_at_most_once_per_tick(monkeypatch: pytest.MonkeyPatch) -> None:
    class Ticks(Observer):
        count = 0

        def queue(self, *_: int) -> None:
            self.count += 1

    seen, calls = Ticks(), 0

    async def use(scheduler: Scheduler) -> None:
        loop = asyncio.get_running_loop()
        real = loop.call_soon_threadsafe

        def counted(*arguments: Any, **options: Any) -> Any:
            nonlocal calls
            calls += 1
            return real(*arguments, **options)

        monkeypatch.setattr(loop, "call_soon_threadsafe", counted)
        pending = [scheduler.submit(request(p, 500, stream=True)) for p in prefixes(50)]
        for generation in pending:
            await generation
        assert calls <= seen.count + 1

    serve(use, observer=seen)


def test_the_places_of_requests_that_are_over_are_free_again() -> None:
    async def use(scheduler: Scheduler) -> None:
        rng = np.random.default_rng(0)
        pending = []
        for number, prefix in enumerate(prefixes(60, 30)):
            stop = (library(prefix, 20)[5:7],) if number % 3 == 0 else ()
            options = {"n": 1 + number % 4, "stop": stop, "return_state": number % 2 == 0, "sampling": SAMPLED}
            generation = scheduler.submit(request(prefix, 20, **options))
            pending.append(generation)
            if rng.integers(3) == 0:
                await asyncio.sleep(0.002)
                generation.cancel()
        for generation in pending:
            try:
                await generation
            except Cancelled:
                continue
        await asyncio.sleep(0.05)
        assert (scheduler._size, len(scheduler._open), scheduler._thread.batch.rows) == (0, 0, 0)

    serve(use, max_rows=8, cache_bytes=1 << 18)


def test_answers_take_no_more_memory_than_they_may_and_give_it_back_however_they_end() -> None:
    asked = request("一", 1000, n=2, logprobs=5, sampling=SAMPLED)
    budget = AnswerBudget(4 * asked.answer_bytes)

    def taken() -> int:
        return budget.taken

    async def use(scheduler: Scheduler) -> None:
        pending: list[Reply[Any]] = [scheduler.submit(asked) for _ in range(3)]
        pending.append(scheduler.submit(replace(asked, timeout_s=0.0)))
        with pytest.raises(AnswersFull):
            scheduler.submit(asked)
        with pytest.raises(DeadlineExceeded):
            await pending.pop()
        assert budget.taken == 3 * asked.answer_bytes
        pending.pop().cancel()
        answers = [await generation for generation in pending]
        assert budget.taken == 2 * asked.answer_bytes
        pending.clear()
        measured = answers[0].choices[1].measured  # held by what is still to be sent
        answers.clear()
        while budget.taken != asked.answer_bytes // 2:
            await asyncio.sleep(0.001)
        del measured
        while taken():
            await asyncio.sleep(0.001)
        score = scheduler.submit_score(ScoreRequest(np.arange(50)))
        assert taken() == ScoreRequest(np.arange(50)).answer_bytes
        await score
        del score
        while taken():
            await asyncio.sleep(0.001)

    serve(use, budget=budget)


def test_the_memory_that_is_counted_is_no_less_than_what_an_answer_takes() -> None:
    async def use(scheduler: Scheduler) -> None:
        for logprobs in (0, 20):
            asked = request("一丁", 5000, n=2, logprobs=logprobs, sampling=SAMPLED)
            held = 0
            for choice in (await scheduler.submit(asked)).choices:
                assert choice.measured is not None
                held += sum(values.nbytes for values in choice.measured) + 4 * len(choice.text)
            assert held < asked.answer_bytes < 2 * held + 100_000

    serve(use)
