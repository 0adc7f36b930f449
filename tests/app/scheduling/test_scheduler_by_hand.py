"""The scheduler's side on the event loop alone: no decode thread runs, and a test says what such a thread would do."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from functools import partial
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.refusals import AnswersFull, DeadlineExceeded, Draining, NotReady, QueueFull, StepFailed
from app.scheduling.answer_budget import AnswerBudget
from app.scheduling.job import Job
from app.scheduling.jobs import GenerateJob
from app.scheduling.observer import Observer
from app.scheduling.reply import UNREAD_BYTES, Reply
from app.scheduling.requests import Chunk, GenerateRequest, Result, ScoreRequest, Written
from app.scheduling.scheduler import MAX_FAILURES, Scheduler
from model.decoding.measure import empty
from model.sampling.options import Sampling
from model.text.vocabulary import Vocabulary
from tests.model.plain_engine import PlainEngine

LETTERS = "abc分开😀"
CLOSED = asyncio.new_event_loop()
CLOSED.close()


class Thread:
    """In the worker's place: does nothing, and says what it was told to say."""

    def __init__(
        self, engine: object, new_batch: object, inbox: object, observer: object, clock: Any, tell: object, fail: Any
    ):
        self.given: tuple[Any, Any, Any] = engine, observer, new_batch
        self.alive, self.failures = False, 0
        self.last_step: float | None = 1.0
        self.turn_begun: float | None = None
        self.batch = SimpleNamespace(waiting=3, rows=2)
        self.fail_all = fail

    def start(self) -> None:
        self.alive = True


class Told(Observer):
    def __init__(self) -> None:
        self.over: list[tuple[str, int, int]] = []
        self.seconds: list[float] = []

    def finished(self, outcome: str, read: int, written: int, seconds: float) -> None:
        self.over.append((outcome, read, written))
        self.seconds.append(seconds)


@pytest.fixture(autouse=True)
def no_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.scheduling.scheduler.Worker", Thread)


def new_scheduler(**options: Any) -> tuple[Any, Any]:
    """A scheduler that was started, and its thread."""
    scheduler = Scheduler(PlainEngine(), Vocabulary(LETTERS), asyncio.get_running_loop(), time.monotonic, **options)
    scheduler.start()
    return scheduler, scheduler._worker


def with_a_loop(use: Callable[[], Coroutine[None, None, None]]) -> None:
    asyncio.run(asyncio.wait_for(use(), 300))


def request(**options: Any) -> GenerateRequest:
    return GenerateRequest(**{"prefix": np.array([1, 2]), "num_chars": 5, **options})


def taken(scheduler: Any) -> list[Job]:
    """What the thread would take now."""
    mail = scheduler._inbox.take(wait=False)
    return list(mail.new)


def answer(*texts: str, measured: int | None = None) -> Result:
    tables = [None if measured is None else empty((len(text),), measured) for text in texts]
    choices = (Written(0, text, "length", None, table, None) for text, table in zip(texts, tables, strict=True))
    return Result(tuple(choices), 0.0, 0.0, sum(map(len, texts)))


def test_it_is_ready_once_a_step_went_well_and_while_nothing_is_wrong() -> None:
    async def use() -> None:
        scheduler, thread = new_scheduler(stall_s=10.0)
        assert scheduler.problem() is None
        thread.last_step = None
        assert scheduler.problem() == "is starting"
        scheduler.submit(request())  # taken: it is answered once the engine has run
        thread.failures = MAX_FAILURES - 1
        assert scheduler.problem() == "is starting"
        thread.last_step = 1.0
        assert scheduler.problem() is None
        thread.failures = MAX_FAILURES
        assert f"{MAX_FAILURES} times" in scheduler.problem()
        with pytest.raises(NotReady, match=f"{MAX_FAILURES} times"):
            scheduler.submit(request())
        thread.failures = 0
        thread.turn_begun = time.monotonic() - 5
        assert scheduler.problem() is None
        assert "4 s" in scheduler.problem(stall_s=4.0)
        assert scheduler.problem(stall_s=6.0) is None
        thread.turn_begun = time.monotonic() - 11
        assert "10 s" in scheduler.problem()
        with pytest.raises(NotReady):
            scheduler.submit_score(ScoreRequest(np.arange(3)))
        thread.turn_begun = None
        thread.alive = False
        assert scheduler.problem() == "is not running"
        scheduler.close()
        assert scheduler.problem() == "is shutting down"

    with_a_loop(use)


def taken_or_none(scheduler: Any) -> list[Job] | None:
    mail = scheduler._inbox.take(wait=False)
    return None if mail is None else list(mail.new)


def test_figures_are_the_threads() -> None:
    async def use() -> None:
        scheduler, thread = new_scheduler()
        thread.failures, thread.last_step = 2, 7.5
        assert (scheduler.failures, scheduler.last_step) == (2, 7.5)

    with_a_loop(use)


def test_before_it_is_started_nothing_can_be_asked() -> None:
    scheduler = Scheduler(PlainEngine(), Vocabulary(LETTERS), CLOSED, time.monotonic)
    with pytest.raises(AssertionError, match="start first"):
        scheduler.submit(request())


@settings(max_examples=30)
@given(
    max_rows=st.integers(1, 4),
    max_queue=st.integers(0, 40),
    asked=st.lists(st.tuples(st.sampled_from("ab"), st.integers(0, 5), st.booleans()), max_size=30),
)
def test_as_many_are_taken_as_may_be_and_the_last_eighth_is_for_who_has_nothing(
    max_rows: int, max_queue: int, asked: list[tuple[str, int, bool]]
) -> None:
    async def use() -> None:
        scheduler, _ = new_scheduler(max_rows=max_rows, max_queue=max_queue)
        there: list[tuple[str, int, Reply[Any]]] = []
        for caller, n, first_leaves in asked:
            if first_leaves and there:
                there.pop(0)[2].cancel()
            open_now = sum(size for _, size, _ in there)
            has_some = any(other == caller for other, _, _ in there)
            size = max(n, 1)
            fits = open_now + size <= max_rows + max_queue - (max_queue // 8 if has_some else 0)
            score = ScoreRequest(np.arange(3), caller=caller)
            submit = (
                partial(scheduler.submit, request(n=n, caller=caller)) if n else partial(scheduler.submit_score, score)
            )
            if fits:
                there.append((caller, size, submit()))
            else:
                with pytest.raises(QueueFull, match=rf"\b{max(open_now - max_rows, 0)} .*\b{size} more"):
                    submit()
        assert len(scheduler._inbox) == sum(size for _, size, _ in there)
        for _, _, generation in there:
            generation.cancel()
        assert len(scheduler._inbox) == 0
        assert scheduler._sizes == {}

    with_a_loop(use)


def test_a_request_is_taken_as_it_is_and_brings_its_seed() -> None:
    async def use() -> None:
        scheduler, _ = new_scheduler()
        asked = [request(sampling=sampling, num_chars=9) for sampling in (Sampling(), Sampling(1.0, seed=5))]
        for one in asked:
            scheduler.submit(one)
        jobs = taken(scheduler)
        assert all(isinstance(job, GenerateJob) for job in jobs)
        assert [job.request for job in jobs if isinstance(job, GenerateJob)] == asked
        for wrong in (request(sampling=Sampling(1.0, 3, 0.5)), request(prefix=np.zeros(0, np.int64))):
            with pytest.raises(AssertionError):
                scheduler.submit(wrong)
        assert taken(scheduler) == []

    with_a_loop(use)


def test_an_answer_in_time_stops_its_clock_and_one_that_is_late_is_given_up() -> None:
    async def use() -> None:
        told = Told()
        scheduler, _ = new_scheduler(observer=told)
        late = scheduler.submit(request(timeout_s=0.001))
        late_score = scheduler.submit_score(ScoreRequest(np.arange(3), timeout_s=0.001))
        in_time = scheduler.submit(request(timeout_s=0.05))
        patient = scheduler.submit(request())
        taken(scheduler)[2].generation.finish(answer("abcde"))
        for generation in (late, late_score):
            with pytest.raises(DeadlineExceeded, match=r"^the answer took longer than it may$"):
                await generation
        assert (await in_time).choices[0].text == "abcde"
        assert not patient.done
        assert [outcome for outcome, _, _ in told.over] == ["length", "deadline", "deadline"]
        assert len(scheduler._open) == 1

    with_a_loop(use)


def test_a_clock_of_an_answer_that_came_does_not_run_on() -> None:
    async def use() -> None:
        scheduler, _ = new_scheduler()
        scheduler.submit(request(timeout_s=1000.0))
        (timer,) = scheduler._open.values()
        assert timer.when() - asyncio.get_running_loop().time() == pytest.approx(1000, abs=20)
        taken(scheduler)[0].generation.finish(answer("abcde"))
        assert timer.cancelled()

    with_a_loop(use)


def test_who_has_an_error_leaves_the_thread_and_who_has_an_answer_has_left() -> None:
    async def use() -> None:
        scheduler, _ = new_scheduler()
        for _ in range(3):
            scheduler.submit(request())
        unseen = scheduler.submit(request())
        jobs = taken(scheduler)[:3]
        jobs[0].generation.finish(answer("abcde"))
        jobs[1].generation.cancel()
        jobs[2].generation.fail(StepFailed("broken"))
        mail = scheduler._inbox.take(wait=False)
        assert (mail.new, mail.left) == ([], jobs[1:])
        assert not unseen.done

    with_a_loop(use)


def test_it_is_told_how_each_request_ended_and_what_it_read_and_wrote() -> None:
    async def use() -> None:
        told = Told()
        scheduler, _ = new_scheduler(observer=told)
        for _ in range(5):
            scheduler.submit(request(prefix=np.arange(4)))
        scheduler.submit_score(ScoreRequest(np.arange(6)))
        jobs = taken(scheduler)
        for job in jobs[1:]:
            job.admitted = job.submitted
        jobs[2]._written = 3  # type: ignore[attr-defined]
        jobs[0].generation.cancel()
        jobs[1].generation.fail(StepFailed("broken"))
        jobs[2].generation.finish(answer("abc"))
        jobs[3].generation.fail(DeadlineExceeded("late"))
        jobs[5].generation.finish(empty((5,), 0))
        scheduler.close()
        outcomes = ["cancelled", "failed", "length", "deadline", "score", "draining"]
        assert [outcome for outcome, _, _ in told.over] == outcomes
        assert [read for _, read, _ in told.over] == [0, 4, 4, 4, 6, 4]
        assert [written for _, _, written in told.over] == [0, 0, 3, 0, 0, 0]
        assert all(0 <= seconds < 20 for seconds in told.seconds)

    with_a_loop(use)


def test_a_reader_who_catches_up_wakes_its_rows() -> None:
    async def use() -> None:
        scheduler, _ = new_scheduler()
        generation = scheduler.submit(request(stream=True))
        (job,) = taken(scheduler)
        chunk = Chunk(0, "a" * UNREAD_BYTES, None)
        generation.sends(chunk)
        generation.push(chunk)
        assert generation.must_rest()
        await anext(aiter(generation))
        assert scheduler._inbox.take(wait=False).caught_up == [job]

    with_a_loop(use)


def test_draining_with_nothing_open_is_over_at_once_and_takes_nothing_more() -> None:
    async def use() -> None:
        scheduler, thread = new_scheduler()
        thread.alive = False
        assert await scheduler.drain(1000.0)
        thread.alive = True
        for submit, asked in ((scheduler.submit, request()), (scheduler.submit_score, ScoreRequest(np.arange(3)))):
            with pytest.raises(Draining):
                submit(asked)
        assert taken_or_none(scheduler) is None  # the thread is told to end

    with_a_loop(use)


def test_draining_waits_for_what_is_open_and_then_for_the_thread() -> None:
    async def use() -> None:
        scheduler, thread = new_scheduler()
        generations = [scheduler.submit(request()) for _ in range(2)]
        draining = asyncio.ensure_future(scheduler.drain(1000.0))
        await asyncio.sleep(0)
        jobs = taken(scheduler)
        for job in jobs:
            for _ in range(10):  # turns of the loop, so that whoever waits has seen what came
                await asyncio.sleep(0)
            assert not draining.done()
            assert not job.generation.done
            with pytest.raises(Draining):
                scheduler.submit(request())
            job.generation.finish(answer("abcde"))
        while taken_or_none(scheduler) is not None:
            await asyncio.sleep(0)
        await asyncio.sleep(0.02)
        assert not draining.done()
        thread.alive = False
        assert await draining
        assert [(await generation).choices[0].text for generation in generations] == ["abcde"] * 2

    with_a_loop(use)


def test_when_its_time_is_up_each_gets_an_error_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.scheduling.scheduler.CLOSE_S", 0.01)

    async def use() -> None:
        scheduler, _ = new_scheduler()  # whose thread never ends
        generations = [scheduler.submit(request()) for _ in range(2)]
        assert not await scheduler.drain(0.001)
        errors = [generation.error for generation in generations]
        assert [type(error) for error in errors] == [Draining] * 2
        assert errors[0] is not errors[1]
        assert str(errors[0]) == str(errors[1]) != ""

    with_a_loop(use)


def test_a_thread_that_ends_fails_all_that_is_open() -> None:
    async def use() -> None:
        scheduler, thread = new_scheduler()
        generations = [scheduler.submit(request()), scheduler.submit_score(ScoreRequest(np.arange(3)))]
        thread.fail_all(StepFailed("the thread has ended"))
        for generation in generations:
            with pytest.raises(StepFailed, match="the thread has ended"):
                await generation
        assert scheduler._nothing_open.is_set()

    with_a_loop(use)


def test_whether_the_first_step_went_well_is_waited_for() -> None:
    async def use() -> None:
        for change in ({"last_step": 1.0}, {"failures": 1}, {"alive": False}):
            scheduler, thread = new_scheduler()
            thread.last_step = None
            waiting = asyncio.ensure_future(scheduler.first_step())
            await asyncio.sleep(0.02)
            assert not waiting.done()
            vars(thread).update(change)
            await waiting

    with_a_loop(use)


@pytest.mark.parametrize("measured", [None, 0, 2])
def test_the_memory_of_an_answer_is_taken_before_it_begins_and_comes_back_with_its_arrays(measured: int | None) -> None:
    async def use() -> None:
        asked = request(n=3, logprobs=measured, num_chars=7)
        budget = AnswerBudget(2 * asked.answer_bytes)
        scheduler, _ = new_scheduler(budget=budget)
        for _ in range(2):
            scheduler.submit(asked)
        assert budget.taken == 2 * asked.answer_bytes
        with pytest.raises(AnswersFull):
            scheduler.submit(asked)
        first, second = taken(scheduler)
        first.generation.fail(StepFailed("broken"))
        assert budget.taken == asked.answer_bytes
        second.generation.finish(answer("ab", "cd", "ef", measured=measured))
        found = second.generation.answer
        del first, second
        assert found is not None
        assert budget.taken >= asked.answer_bytes - 3  # but for what does not divide by three
        tables = [choice.measured for choice in found.choices]
        held = None if measured is None else tables[0].logprobs[:1]  # a view keeps its array
        one = found.choices[0] if measured is None else held
        del found, tables
        assert asked.answer_bytes // 3 <= budget.taken <= asked.answer_bytes // 3 + 3
        del one, held
        assert budget.taken == 0

    with_a_loop(use)


def test_the_memory_of_a_score_comes_back_with_its_arrays() -> None:
    async def use() -> None:
        asked = ScoreRequest(np.arange(6), 2)
        budget = AnswerBudget(asked.answer_bytes)
        scheduler, _ = new_scheduler(budget=budget)
        scheduler.submit_score(asked)
        (job,) = taken(scheduler)
        job.generation.finish(empty((5,), 2))
        found = job.generation.answer
        del job
        assert budget.taken == asked.answer_bytes
        del found
        assert budget.taken == 0

    with_a_loop(use)


def test_what_is_refused_for_another_reason_takes_no_memory() -> None:
    async def use() -> None:
        budget = AnswerBudget(10**9)
        scheduler, _ = new_scheduler(budget=budget, max_rows=1, max_queue=0)
        with pytest.raises(QueueFull):
            scheduler.submit(request(n=2))
        assert budget.taken == 0

    with_a_loop(use)


def test_indices_become_the_vocabularys_text() -> None:
    vocabulary = Vocabulary(LETTERS)
    scheduler = Scheduler(PlainEngine(), vocabulary, CLOSED, time.monotonic)
    indices = np.array([0, 5, 4, 3, 0])
    assert scheduler._text(indices) == "".join(vocabulary.characters[index] for index in indices)
    assert scheduler._text(np.zeros(0, np.int64)) == ""


def test_the_thread_works_with_the_schedulers_engine_and_tells_its_observer() -> None:
    async def use() -> None:
        class Counting(Observer):
            failed = 0

            def step_failed(self) -> None:
                self.failed += 1

        engine, observer = PlainEngine(), Counting()
        scheduler = Scheduler(
            engine, Vocabulary(LETTERS), asyncio.get_running_loop(), time.monotonic, observer=observer
        )
        scheduler.start()
        worker: Any = scheduler._worker
        given, told, new_batch = worker.given
        assert given is engine
        told.step_failed()
        assert observer.failed == 1
        assert (new_batch().rows, new_batch().waiting) == (0, 0)

    with_a_loop(use)


def test_who_has_nothing_open_may_have_the_last_place() -> None:
    async def use() -> None:
        scheduler, _ = new_scheduler(max_rows=1, max_queue=8)
        scheduler.submit(request(n=9))
        with pytest.raises(QueueFull):
            scheduler.submit(request(caller="other"))

    with_a_loop(use)
