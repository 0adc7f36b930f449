"""The decode thread's loop, run by hand in the test's own thread: mail, batch and event loop do what a test says."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from app.refusals import StepFailed
from app.scheduling.batch import Call
from app.scheduling.inbox import Inbox, Mail
from app.scheduling.job import Job
from app.scheduling.jobs import ScoreJob
from app.scheduling.observer import Observer
from app.scheduling.reply import Reply
from app.scheduling.requests import ScoreRequest
from app.scheduling.worker import CHECK_S, PROBE_S, Worker
from tests.model.plain_engine import PlainEngine

CLOSED = asyncio.new_event_loop()
CLOSED.close()


def new_job() -> Job:
    return ScoreJob(ScoreRequest(np.arange(3)), 0.0, Reply(CLOSED))


class Engine(PlainEngine):
    """Counts its calls, and raises what it is told to."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.shapes: list[tuple[int, ...]] = []
        self.broken: BaseException | None = None

    def step(self, *arguments: Any) -> Any:
        return self._call("step", *arguments)

    def advance(self, *arguments: Any) -> Any:
        return self._call("advance", *arguments)

    def _call(self, name: str, *arguments: Any) -> Any:
        self.calls.append(name)
        self.shapes.append(arguments[0].shape)
        if self.broken is not None:
            raise self.broken
        return getattr(PlainEngine, name)(self, *arguments)


class Batch:
    """Notes what is done with it; `turns` says what comes of each turn: calls, or an error. It is busy while there are
    any, and each that is no error takes a step where `steps_each` is 1."""

    def __init__(self, turns: list[list[Call] | BaseException]) -> None:
        self.turns = turns
        self.done: list[Any] = []
        self.steps, self.steps_each = 5, 1
        self.waiting, self.rows = 3, 2
        self.inside: set[Job] = set()
        self.checked = 0
        self.wrong: Exception | None = None
        self.failing: list[Call] | Exception = []
        self.during: Callable[[], None] = lambda: None

    @property
    def busy(self) -> bool:
        return bool(self.turns)

    def __contains__(self, job: Job) -> bool:
        return job in self.inside

    def check(self) -> None:
        self.checked += 1
        if self.wrong is not None:
            raise self.wrong

    def leave(self, jobs: list[Job]) -> None:
        self.done.append(("leave", jobs))

    def put(self, jobs: list[Job]) -> None:
        self.done.append(("put", jobs))

    def wake(self, jobs: list[Job]) -> None:
        self.done.append(("wake", jobs))

    def turn(self) -> list[Call]:
        self.done.append("turn")
        self.during()
        turn = self.turns.pop(0)
        if isinstance(turn, BaseException):
            raise turn
        self.steps += self.steps_each
        return turn

    def fail(self) -> list[Call]:
        self.done.append("fail")
        if isinstance(self.failing, Exception):
            raise self.failing
        return self.failing


class Post(Inbox):
    """Hands out the mail that a test wrote, then is closed."""

    def __init__(self, *mail: Mail) -> None:
        super().__init__()
        self.mail = list(mail)
        self.asked: list[tuple[bool, float | None]] = []

    def take(self, wait: bool, wait_s: float | None = None) -> Mail | None:
        self.asked.append((wait, wait_s))
        return self.mail.pop(0) if self.mail else None


class Told(Observer):
    def __init__(self) -> None:
        self.queues: list[tuple[int, int]] = []
        self.failed = 0

    def queue(self, waiting: int, rows: int) -> None:
        self.queues.append((waiting, rows))

    def step_failed(self) -> None:
        self.failed += 1


class Bench:
    """A worker, all that it works with, and what it told the event loop."""

    def __init__(self, *mail: Mail, turns: list[list[Call] | BaseException] | None = None) -> None:
        self.engine, self.inbox, self.observer = Engine(), Post(*mail), Told()
        self.batches = [Batch(turns or []), Batch([])]
        self.batch = self.batches[0]
        self.loop: list[tuple[Any, ...]] = []
        self.alive: list[bool] = []
        self.failures: list[StepFailed] = []
        self.now = 100.0
        batches: Any = iter(self.batches)
        self.worker = Worker(
            self.engine,
            lambda: next(batches),
            self.inbox,
            self.observer,
            self.clock,
            lambda *call: self.call_soon(*call),
            self.failures.append,
        )

    @property
    def current(self) -> Any:
        """The batch that the worker has now: one of `batches`."""
        return self.worker.batch

    def clock(self) -> float:
        self.now += 1
        return self.now

    def call_soon(self, *call: Any) -> None:
        self.loop.append(call)
        self.alive.append(not self.worker._ended)

    def run(self) -> None:
        """Until it is closed; then whatever it told the loop is done there."""
        self.worker._run()
        for call, *what in self.loop:
            call(*what)


@pytest.fixture(autouse=True)
def is_heard(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "app.scheduling.worker")


def test_it_tries_the_engine_both_ways_before_anything_comes() -> None:
    bench = Bench()
    before = bench.now
    bench.run()
    assert bench.engine.calls == ["advance", "step", "step"]  # the first step is the advance's own
    assert bench.engine.shapes == [(1, 1), (1,), (1,)]  # one step of one row
    assert bench.worker.failures == 0
    assert bench.worker.last_step is not None
    assert before <= bench.worker.last_step <= bench.now
    assert bench.observer.queues == [(3, 2)]
    assert bench.inbox.asked == [(True, None)]


def test_an_engine_that_fails_its_first_step_is_tried_again_now_and_then() -> None:
    bench = Bench(Mail(), Mail())
    bench.engine.broken = RuntimeError("broken for the test")
    take = bench.inbox.take

    def mended(*arguments: Any, **options: Any) -> Mail | None:
        seen.append((bench.worker.failures, bench.worker.last_step is None))
        if len(seen) == 2:
            bench.engine.broken = None
        return take(*arguments, **options)

    seen: list[tuple[int, bool]] = []
    bench.inbox.take = mended  # type: ignore[method-assign]
    bench.run()
    assert seen == [(1, True), (2, True), (0, False)]
    assert bench.observer.failed == 2
    assert bench.inbox.asked == [(True, PROBE_S), (True, PROBE_S), (True, None)]
    assert bench.batch.done.count("turn") == 0


def test_a_turn_begins_with_the_mail_and_its_calls_reach_the_loop_at_once_in_order() -> None:
    told: list[int] = []
    new, left, caught_up = [new_job()], [new_job()], [new_job()]
    bench = Bench(Mail(new, left, caught_up), turns=[[], [(told.append, 1), (told.append, 2)]])
    bench.run()
    done: list[Any] = [("leave", []), ("put", []), ("wake", []), "turn"]
    assert bench.batch.done == [*done, ("leave", left), ("put", new), ("wake", caught_up), "turn"]
    assert told == [1, 2]
    assert len(bench.loop) == 2  # both calls at once, and that it has ended; nothing where nothing came of a turn
    assert bench.inbox.asked == [(False, None), (True, None)]
    assert bench.engine.calls == []
    assert bench.observer.queues == [(3, 2)] * 2


def test_what_has_not_been_seen_counts_as_waiting() -> None:
    bench = Bench(turns=[[]])
    bench.inbox.put(new_job())
    bench.run()
    assert bench.observer.queues == [(4, 2)]


def test_mail_that_leaves_nothing_to_do_is_no_step() -> None:
    bench = Bench(Mail(left=[new_job()]))
    bench.run()
    probed = list(bench.engine.calls)
    again = Bench()
    again.run()
    assert probed == again.engine.calls  # nothing but the first trial
    assert bench.batch.done.count("turn") == 0


def test_a_turn_in_which_nothing_was_decoded_says_nothing_of_the_engine() -> None:
    bench = Bench(Mail(), Mail(), turns=[RuntimeError("broken for the test"), []])
    bench.batch.steps_each = 0
    seen: list[int] = []
    bench.inbox.take = _noting(bench, lambda: seen.append(bench.worker.failures))  # type: ignore[method-assign]
    bench.run()
    assert seen[:2] == [1, 1]
    assert bench.worker.failures == 0  # once it was tried


def test_failures_are_counted_in_a_row_until_a_step_goes_well() -> None:
    broken = RuntimeError("broken for the test")
    bench = Bench(Mail(), Mail(), Mail(), Mail(), turns=[broken, broken, broken, [], broken])
    seen: list[tuple[int, bool]] = []

    def note() -> None:
        seen.append((bench.worker.failures, bench.worker.last_step is None))

    bench.inbox.take = _noting(bench, note)  # type: ignore[method-assign]
    before = bench.now
    bench.run()
    assert seen == [(1, True), (2, True), (3, True), (0, False), (1, False)]
    assert bench.observer.failed == 4
    assert bench.worker.last_step is not None
    assert before <= bench.worker.last_step <= bench.now


def _noting(bench: Bench, note: Callable[[], None]) -> Callable[..., Mail | None]:
    take = bench.inbox.take

    def noting(*arguments: Any, **options: Any) -> Mail | None:
        note()
        return take(*arguments, **options)

    return noting


def test_an_error_fails_who_was_in_it_and_who_had_just_come_and_says_so(caplog: pytest.LogCaptureFixture) -> None:
    told: list[int] = []
    inside, lost, left, caught_up = (new_job() for _ in range(4))
    error = RuntimeError("broken for the test")
    bench = Bench(Mail([inside, lost], [left], [caught_up]), turns=[[], error])
    bench.batch.inside = {inside}
    bench.batch.failing = [(told.append, 1)]
    bench.run()
    assert told == [1]
    assert isinstance(lost.generation.error, StepFailed)
    assert str(lost.generation.error) == "the model failed before it began with this"
    assert inside.generation.error is None
    assert bench.batch.done[-3:] == ["fail", ("leave", [left]), ("wake", [caught_up])]
    (record,) = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert record.exc_info is not None
    assert record.exc_info[1] is error
    assert "1 in a row" in record.getMessage()
    assert bench.current is bench.batch


def test_an_error_while_an_error_is_told_of_fails_all_and_begins_anew() -> None:
    bench = Bench(Mail(), turns=[RuntimeError("broken for the test")])
    bench.batch.failing = MemoryError()
    bench.run()
    assert bench.current is bench.batches[1]
    assert len(bench.failures) == 2  # then, and at the end
    assert all(isinstance(failure, StepFailed) for failure in bench.failures)
    assert str(bench.failures[0]) == "the model failed while it was writing this"
    assert bench.alive == [True, False]
    assert bench.worker.turn_begun is None


def test_words_that_cannot_be_written_harm_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_memory(*_: object, **__: object) -> None:
        raise MemoryError

    monkeypatch.setattr("app.scheduling.worker.log.error", no_memory)
    bench = Bench(turns=[RuntimeError("broken for the test")])
    bench.run()
    assert bench.current is bench.batch
    assert len(bench.failures) == 1


@pytest.mark.parametrize("error", [SystemExit("for the test"), KeyboardInterrupt()])
def test_what_ends_it_is_said_and_all_that_is_open_fails_once_it_takes_nothing_more(
    error: BaseException, caplog: pytest.LogCaptureFixture
) -> None:
    bench = Bench(Mail(), turns=[error])
    bench.run()
    assert [type(failure) for failure in bench.failures] == [StepFailed]
    assert bench.alive == [False]
    assert not bench.worker.alive
    assert bench.worker.turn_begun is None
    (record,) = [record for record in caplog.records if record.levelno == logging.CRITICAL]
    assert record.exc_info is not None
    assert record.exc_info[1] is error
    assert "decode thread" in record.getMessage()
    assert bench.inbox.asked == []


def test_when_it_is_closed_nothing_is_said(caplog: pytest.LogCaptureFixture) -> None:
    Bench(turns=[[]]).run()
    assert caplog.records == []


def test_a_turn_is_timed_while_it_runs_and_not_between() -> None:
    bench = Bench(Mail(), turns=[[], []])
    during: list[float | None] = []
    between: list[float | None] = []
    bench.batch.during = lambda: during.append(bench.worker.turn_begun)
    bench.inbox.take = _noting(bench, lambda: between.append(bench.worker.turn_begun))  # type: ignore[method-assign]
    before = bench.now
    bench.run()
    assert between == [None, None]
    for begun in during:
        assert begun is not None
        assert before <= begun <= bench.now
    assert len(set(during)) == 2


def test_a_loop_that_is_closed_is_told_nothing_and_ends_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def closed(*_: object) -> None:
        raise RuntimeError("Event loop is closed")

    bench = Bench(Mail(), turns=[[(print, 1)], [(print, 2)]])
    monkeypatch.setattr(bench, "call_soon", closed)
    bench.run()
    assert bench.batch.done.count("turn") == 2
    assert bench.observer.failed == 0


def is_alive(worker: Worker) -> bool:
    return worker.alive


def test_it_is_alive_from_its_start_until_it_is_closed() -> None:
    bench, going = Bench(), threading.Event()
    worker = bench.worker
    assert not is_alive(worker)
    bench.inbox.take = lambda **_: going.wait(20) and None  # type: ignore[method-assign,assignment]
    worker.start()
    assert is_alive(worker)
    assert worker._thread.daemon  # one that hangs keeps no process alive
    going.set()
    worker._thread.join(20)
    assert not is_alive(worker)


def test_the_books_are_looked_at_now_and_then_while_nothing_is_to_be_done(caplog: pytest.LogCaptureFixture) -> None:
    bench = Bench(Mail(), Mail(), Mail(), Mail(), turns=[[]])
    looked: list[int] = []

    def later() -> None:
        looked.append(bench.batch.checked)
        bench.now += 0.4 * CHECK_S

    bench.inbox.take = _noting(bench, later)  # type: ignore[method-assign]
    bench.run()
    assert looked == [0, 0, 0, 1, 1]
    assert caplog.records == []


def test_wrong_books_are_said_and_who_lost_a_row_fails_and_the_thread_goes_on(caplog: pytest.LogCaptureFixture) -> None:
    told: list[int] = []
    bench = Bench(Mail(), Mail(), turns=[])
    bench.batch.wrong = AssertionError("a request lost a row")
    bench.batch.failing = [(told.append, 1)]
    bench.inbox.take = _noting(bench, lambda: setattr(bench, "now", bench.now + CHECK_S))  # type: ignore[method-assign]
    bench.run()
    (first, *others) = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert len(others) == 1  # once each time it is looked at
    assert "a request lost a row" in first.getMessage()
    assert first.exc_info is not None
    assert told == [1, 1]
    assert (bench.worker.failures, bench.observer.failed) == (0, 0)  # the engine has done nothing wrong
    assert len(bench.failures) == 1  # that it was closed, and nothing before
    assert bench.current is bench.batch


def test_mail_with_wrong_books_is_found_as_well(caplog: pytest.LogCaptureFixture) -> None:
    bench = Bench(Mail())
    job = new_job()
    bench.inbox.put(job)
    bench.batch.inside = {job}
    bench.inbox.take = _noting(bench, lambda: setattr(bench, "now", bench.now + CHECK_S))  # type: ignore[method-assign]
    bench.run()
    assert "in the mail though the thread has it" in caplog.text
    assert bench.batch.done.count("fail") == 1


def test_books_that_cannot_be_mended_are_begun_anew() -> None:
    bench = Bench(Mail())
    bench.batch.wrong, bench.batch.failing = AssertionError("a request lost a row"), MemoryError()
    bench.inbox.take = _noting(bench, lambda: setattr(bench, "now", bench.now + CHECK_S))  # type: ignore[method-assign]
    bench.run()
    assert bench.current is bench.batches[1]
    assert bench.alive == [True, False]
    assert len(bench.failures) == 2


def test_who_was_told_by_its_batch_is_not_told_again() -> None:
    told, lost = new_job(), new_job()
    bench = Bench(Mail([told, lost]), turns=[[], RuntimeError("broken for the test")])
    bench.batch.failing = [(told.generation.fail, StepFailed("while it was writing"))]
    bench.run()
    ((_, calls),) = [call for call in bench.loop if isinstance(call[1], list)]
    assert [call for call, _ in calls] == [told.generation.fail, lost.generation.fail]
