"""Continuous batching: one decode thread per model serves all its requests, each turn with all rows that are there.

Public: `Scheduler` with `start`, `submit`, `submit_score`, `problem`, `drain`, `close`, all for the event loop.
`submit` gives a `Reply` at once (see `reply`), or raises QueueFull, Draining or NotReady. What is open is
counted here, and its time runs here: a thread that hangs or dies keeps nobody waiting beyond the deadline. `worker` is
the thread, `batch` what it does in a turn. Knows nothing of HTTP, tokens or text that is not decoded yet.

The engine, the loop and the clock are handed in, and a request brings its seed: nothing here or below reads the time or
draws a number, so that a test can run all of it by hand, twice the same way.

The queue is what is open beyond max_rows. Its last eighth is kept for callers who have nothing open, so that one who
fills it leaves room for the others.

Longer than a page because what is open is counted in one place, by whatever door a request comes in or leaves.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from functools import partial

import numpy as np

from app.refusals import Cancelled, DeadlineExceeded, Draining, NotReady, QueueFull, Refusal
from app.scheduling.answer_budget import AnswerBudget
from app.scheduling.batch import Batch
from app.scheduling.inbox import Inbox
from app.scheduling.job import Job
from app.scheduling.jobs import GenerateJob, ScoreJob
from app.scheduling.loop import Clock, Loop, Timer
from app.scheduling.observer import Observer
from app.scheduling.quiet import quiet
from app.scheduling.reply import Reply
from app.scheduling.requests import GenerateRequest, Result, ScoreRequest
from app.scheduling.worker import Worker
from model.arrays import Int64s
from model.decoding.engine import Engine
from model.decoding.measure import Measured
from model.decoding.state_cache import StateCache
from model.text.vocabulary import Vocabulary

MAX_FAILURES = 3  # in a row, until the model counts as not ready
CLOSE_S = 1.0  # how long the thread may take to end its last turn
OUTCOMES = {Cancelled: "cancelled", DeadlineExceeded: "deadline", Draining: "draining"}


class Scheduler:
    """max_rows: decoding at once. max_queue: continuations waiting for a place. cache_bytes: of states of prefixes.
    stall_s: a turn that takes longer makes the model not ready. budget: of memory for answers, other models' as well;
    None for no bound."""

    def __init__(
        self,
        engine: Engine,
        vocabulary: Vocabulary,
        loop: Loop,
        clock: Clock,
        *,
        max_rows: int = 256,
        max_queue: int = 1024,
        cache_bytes: int = 0,
        observer: Observer | None = None,
        stall_s: float = 30.0,
        budget: AnswerBudget | None = None,
    ) -> None:
        self._engine = engine
        self._characters = np.array([ord(c) for c in vocabulary.characters], "<u4")
        self._loop = loop
        self._clock = clock
        self._max_rows = max_rows
        self._max_queue = max_queue
        self._observer = quiet(observer or Observer())
        self._stall_s = stall_s
        self._budget = budget
        self.cache = StateCache(cache_bytes)
        self._inbox = Inbox()
        self._worker: Worker | None = None
        self._open: dict[Job, Timer | None] = {}  # with what ends their time
        self._size = 0  # continuations of all that is open
        self._sizes: Counter[str] = Counter()  # the same by caller
        self._nothing_open = asyncio.Event()
        self._nothing_open.set()
        self._draining = False

    def start(self) -> None:
        """Starts the decode thread, which first runs one step: `problem` says when that has gone well."""
        new_batch = partial(Batch, self._engine, self._text, self._max_rows, self.cache, self._observer, self._clock)
        call_soon = self._loop.call_soon_threadsafe
        self._worker = Worker(
            self._engine, new_batch, self._inbox, self._observer, self._clock, call_soon, self._fail_all
        )
        self._worker.start()

    async def first_step(self) -> None:
        """Returns when the decode thread has tried one step, well or not."""
        while self._thread.alive and self.last_step is None and not self.failures:
            await asyncio.sleep(0.005)

    def submit(self, request: GenerateRequest) -> Reply[Result]:
        """The request has its seed, unless it is greedy. Raises QueueFull, Draining and NotReady."""
        assert len(request.prefix) > 0 or request.state is not None or request.first is not None
        assert request.sampling.greedy or request.sampling.seed is not None
        self._refuse(request, request.n)
        generation: Reply[Result] = Reply(self._loop)
        self._enter(GenerateJob(request, self._clock(), generation))
        return generation

    def submit_score(self, request: ScoreRequest) -> Reply[Measured]:
        """Raises as `submit`."""
        self._refuse(request, 1)
        generation: Reply[Measured] = Reply(self._loop)
        self._enter(ScoreJob(request, self._clock(), generation))
        return generation

    def problem(self, stall_s: float | None = None) -> str | None:
        """Why requests should go elsewhere, or None when the model is ready. stall_s: other than the scheduler's."""
        stall_s = self._stall_s if stall_s is None else stall_s
        if self._draining:
            return "is shutting down"
        reason = self._why_not(stall_s)
        return "is starting" if reason is None and self.last_step is None else reason

    @property
    def failures(self) -> int:
        """In a row."""
        return self._thread.failures

    @property
    def last_step(self) -> float | None:
        """By the clock, of the last turn that went well."""
        return self._thread.last_step

    @property
    def turn_begun(self) -> float | None:
        """By the clock, of the turn that the decode thread is in."""
        return self._thread.turn_begun

    @property
    def thread_id(self) -> int | None:
        return self._thread.thread_id

    async def drain(self, timeout_s: float) -> bool:
        """Takes no more requests, waits for those that are there, then ends the thread. False where time ran out and
        some were failed with Draining, which happens at once."""
        self._draining = True
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(self._nothing_open.wait(), timeout_s)
        clean = not self._open
        self.close()
        until = self._clock() + CLOSE_S
        while self._thread.alive and self._clock() < until:
            await asyncio.sleep(0.005)
        return clean

    def close(self) -> None:
        """What is still open fails with Draining, and the thread ends after its turn."""
        self._draining = True
        self._fail_all(Draining("the server is shutting down"))
        self._inbox.close()

    def check(self) -> None:
        """What must hold between two calls on the loop: what is counted is what is open. Raises AssertionError."""
        sizes: Counter[str] = Counter()
        for job, timer in self._open.items():
            sizes[job.caller] += job.size
            assert not job.generation.done, "a request counts as open though it is over"
            assert (timer is None) == (job.timeout_s is None), "a request's time is not limited as it should be"
        assert self._sizes == sizes, "more or fewer are counted for a caller than it has open"
        assert self._size == sizes.total(), f"{self._size} continuations are counted, and {sizes.total()} are open"
        assert self._nothing_open.is_set() == (not self._open), "who drains it is told too early or never"
        if self._budget is not None:
            assert self._budget.taken >= sum(job.bytes for job in self._open), "an answer's memory is not counted"

    # What is open.

    def _refuse(self, request: GenerateRequest | ScoreRequest, size: int) -> None:
        """Raises where a request of so many continuations is not taken; takes the memory for one that is."""
        if self._draining:
            raise Draining("the server is shutting down")
        reason = self._why_not(self._stall_s)
        if reason is not None:
            raise NotReady(f"the model {reason}")
        kept = self._max_queue // 8 if self._sizes[request.caller] else 0
        if self._size + size > self._max_rows + self._max_queue - kept:
            waiting = max(self._size - self._max_rows, 0)
            raise QueueFull(f"{waiting} continuations are waiting, and {size} more are too many")
        if self._budget is not None:
            self._budget.take(request.answer_bytes)

    def _why_not(self, stall_s: float) -> str | None:
        thread = self._thread
        begun = thread.turn_begun
        if not thread.alive:
            return "is not running"
        if thread.failures >= MAX_FAILURES:
            return f"has failed {thread.failures} times in a row"
        if begun is not None and self._clock() - begun > stall_s:
            return f"has been in one step for more than {stall_s:g} s"
        return None

    def _enter(self, job: Job) -> None:
        late = DeadlineExceeded("the answer took longer than it may")
        timer = None if job.timeout_s is None else self._loop.call_later(job.timeout_s, job.generation.fail, late)
        job.generation.watch(partial(self._settled, job), partial(self._inbox.catch_up, job))
        self._open[job] = timer
        self._size += job.size
        self._sizes[job.caller] += job.size
        self._nothing_open.clear()
        self._inbox.put(job)

    def _settled(self, job: Job) -> None:
        """A request has its answer, or its error: then it leaves the thread, wherever it is there."""
        timer = self._open.pop(job)
        if timer is not None:
            timer.cancel()
        self._size -= job.size
        self._sizes[job.caller] -= job.size
        if not self._sizes[job.caller]:
            del self._sizes[job.caller]
        if not self._open:
            self._nothing_open.set()
        error = job.generation.error
        if error is not None:
            self._inbox.leave(job)
        if self._budget is not None:
            self._give_back(self._budget, job)
        outcome = job.outcome() if error is None else OUTCOMES.get(type(error), "failed")
        read = job.read if job.admitted is not None else 0
        self._observer.finished(outcome, read, job.written, self._clock() - job.submitted)

    @staticmethod
    def _give_back(budget: AnswerBudget, job: Job) -> None:
        """The memory of an answer: once nobody holds it any more, and at once where there is none."""
        answer = job.generation.answer
        held = [] if answer is None else _holders(answer)
        for one in held:
            budget.give_with(one, job.bytes // len(held))
        budget.give(job.bytes % len(held) if held else job.bytes)

    def _fail_all(self, error: Refusal) -> None:
        for job in list(self._open):
            job.generation.fail(type(error)(*error.args))  # each its own: it keeps where it was raised

    @property
    def _thread(self) -> Worker:
        assert self._worker is not None, "start first"
        return self._worker

    def _text(self, indices: Int64s) -> str:
        return self._characters[indices].tobytes().decode("utf-32-le")


def _holders(answer: Result | Measured) -> list[object]:
    """What is there as long as an answer is: its arrays where it has some, for they are what it is sent from."""
    if isinstance(answer, Measured):
        return [answer.logprobs]
    return [choice if choice.measured is None else choice.measured.logprobs for choice in answer.choices]
