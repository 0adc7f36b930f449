"""Continuous batching: one decode thread per model serves all its requests, each tick with all rows that are there.

Public: `Scheduler` with `start`, `submit`, `submit_score`, `problem`, `drain`, `close`. `submit` is called on the event
loop and gives a `Generation` at once (see `generation`), or raises QueueFull, Draining or NotReady. Everything else
happens on the decode thread, which speaks to the loop at most once per tick. Pure asyncio and threading: knows nothing
of HTTP, tokens or text that is not decoded yet.

A tick: leave (cancelled, too late) → admit from the queue → one engine call for all rows → retire what is done → hand
out the chunks that are due (the first one at once, then at most every FLUSH_S).

The thread is longer than a page because it is one state machine; rows are in `model.decoding`, answers in `jobs`.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from app.generation import (
    DeadlineExceeded,
    Draining,
    GenerateRequest,
    Generation,
    NotReady,
    QueueFull,
    Result,
    SchedulerError,
    ScoreRequest,
    StepFailed,
)
from app.jobs import Job, Part, ScoreJob, Timing, pad, with_seed
from app.observer import Observer
from model.decoding import BatchDecoder, Row, RowState
from model.engines.interface import Engine, Indices
from model.measure import Measured
from model.random_stream import draw_seed
from model.scoring import Scorer
from model.state_cache import StateCache
from model.vocabulary import Vocabulary

FLUSH_S = 0.020
TICK_S = 0.008  # about how long an engine call may take: the longer, the less two threads fight over Python's lock
SCORE_CHARS = 64  # scored between two ticks
MAX_FAILURES = 3  # in a row, until the model counts as not ready
PROBE_S = 1.0  # how often a model that failed is tried again
CLOSE_S = 1.0  # how long the thread may take to end its last tick
NEVER = float("inf")

log = logging.getLogger(__name__)

AnyJob = Job | ScoreJob
Event = tuple[Callable[[Any], None], Any]  # a call to be made on the event loop


class Scheduler:
    """max_rows: decoding at once. max_queue: requests waiting for a place. cache_bytes: of states of prefixes."""

    def __init__(
        self,
        engine: Engine,
        vocabulary: Vocabulary,
        *,
        max_rows: int = 256,
        max_queue: int = 1024,
        cache_bytes: int = 0,
        observer: Observer | None = None,
    ) -> None:
        self._engine = engine
        self._characters = np.array([ord(c) for c in vocabulary.characters], "<u4")
        self._max_rows = max_rows
        self._max_queue = max_queue
        self._observer = observer or Observer()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread = threading.Thread(target=self._run, name="decode", daemon=True)
        # Shared between the loop and the decode thread, under `_wake`.
        self._wake = threading.Condition()
        self._queue: deque[AnyJob] = deque()
        self._left: list[AnyJob] = []
        self._open = 0  # requests that are not over
        self._draining = False
        self._closed = False
        # Written by the decode thread, read by anybody.
        self.cache = StateCache(cache_bytes)
        self.failures = 0  # in a row
        self.last_step: float | None = None  # time.monotonic of the last engine call that went well
        self._tick_begun: float | None = None
        # The decode thread's own.
        self._decoder = self._new_decoder()
        self._scoring: deque[ScoreJob] = deque()
        self._followers: list[tuple[Row, Part]] = []  # rows to admit at the next tick: places are theirs already
        self._places = 0  # taken by admitted requests
        self._events: list[Event] = []

    # On the event loop.

    def start(self) -> None:
        """Starts the decode thread, which first runs one step: `problem` says when that has gone well."""
        self._loop = asyncio.get_running_loop()
        self._thread.start()

    async def first_step(self) -> None:
        """Returns when the decode thread has tried one step, well or not."""
        while self.last_step is None and not self.failures and self._thread.is_alive():
            await asyncio.sleep(0.005)

    def submit(self, request: GenerateRequest) -> Generation[Result]:
        """Raises QueueFull, Draining, NotReady, and ValueError for more choices than rows."""
        if request.n > self._max_rows:
            raise ValueError(f"n: {request.n} is more than the {self._max_rows} rows there are")
        assert len(request.prefix) > 0 or request.state is not None
        if not request.sampling.greedy and request.sampling.seed is None:
            request = with_seed(request, draw_seed())
        assert self._loop is not None, "start first"
        generation: Generation[Result] = Generation(self._loop, lambda: self._leave(job))
        job = Job(request, generation, _timing(request.timeout_s), places=request.n)
        self._enqueue(job)
        return generation

    def submit_score(self, request: ScoreRequest) -> Generation[Measured]:
        assert self._loop is not None, "start first"
        generation: Generation[Measured] = Generation(self._loop, lambda: self._leave(job))
        job = ScoreJob(request, generation, _timing(request.timeout_s))
        self._enqueue(job)
        return generation

    def problem(self, stall_s: float = 30.0) -> str | None:
        """Why requests should go elsewhere, or None when the model is ready. stall_s: how long one step may take."""
        begun = self._tick_begun
        if self._draining or self._closed:
            return "is shutting down"
        if not self._thread.is_alive():
            return "is not running"
        if self.failures >= MAX_FAILURES:
            return f"has failed {self.failures} times in a row"
        if begun is not None and time.monotonic() - begun > stall_s:
            return f"has been in one step for more than {stall_s:g} s"
        return "is starting" if self.last_step is None else None

    @property
    def waiting(self) -> int:
        return len(self._queue)

    @property
    def decoding(self) -> int:
        return len(self._decoder)

    async def drain(self, timeout_s: float) -> bool:
        """Takes no more requests, waits for those that are there, then ends the thread. False where time ran out and
        some were failed with Draining."""
        with self._wake:
            self._draining = True
        until = time.monotonic() + timeout_s
        while self._open and time.monotonic() < until and self._thread.is_alive():
            await asyncio.sleep(0.01)
        clean = not self._open
        self.close()
        until = time.monotonic() + CLOSE_S
        while self._thread.is_alive() and time.monotonic() < until:
            await asyncio.sleep(0.005)
        await asyncio.sleep(0)  # what the thread sent last is handed out
        return clean

    def close(self) -> None:
        """Ends the thread after its tick; what is still open fails with Draining."""
        with self._wake:
            self._closed = self._draining = True
            self._wake.notify()

    def _enqueue(self, job: AnyJob) -> None:
        with self._wake:
            if self._draining:
                raise Draining("the server is shutting down")
            if self.failures >= MAX_FAILURES:
                raise NotReady(f"the model has failed {self.failures} times in a row")
            if len(self._queue) >= self._max_queue:
                raise QueueFull(f"{self._max_queue} requests are waiting already")
            self._queue.append(job)
            self._open += 1
            self._wake.notify()

    def _leave(self, job: AnyJob) -> None:
        with self._wake:
            self._left.append(job)
            self._wake.notify()

    # On the decode thread.

    def _run(self) -> None:
        self._probe()
        while True:
            with self._wake:
                while not self._something_to_do():
                    if not self._wake.wait(PROBE_S if self.failures else None):
                        break
                if self._closed:
                    break
                left, self._left = self._left, []
            for job in left:
                self._drop(job, "cancelled", None)
            now = time.perf_counter()
            self._expire(now)
            self._admit(now)
            if len(self._decoder):
                self._guarded(self._tick)
            elif self._scoring:
                self._guarded(self._score)
            elif self.failures:
                self._probe()
            if len(self._decoder) and self._scoring:
                self._guarded(self._score)
            self._observer.queue(len(self._queue), len(self._decoder))
            self._send()
        for job in [*self._queue, *self._active()]:
            self._drop(job, "draining", Draining("the server is shutting down"))
        self._send()

    def _something_to_do(self) -> bool:
        busy = len(self._decoder) or self._scoring or self._followers
        return bool(self._closed or self._left or self._queue or busy)

    def _probe(self) -> None:
        """One step of a row of nobody's: proves the engine, and compiles what is compiled at first use."""

        def run() -> None:
            decoder = BatchDecoder(self._engine)
            for row in (Row(np.zeros(1, np.int64), 1), Row(np.zeros(1, np.int64), 1, temperature=1.0, logprobs=1)):
                decoder.admit(row)
                decoder.remove(decoder.tick(1))

        self._guarded(run)

    def _guarded(self, step: Callable[[], None]) -> None:
        """Runs a step. After an error nothing it touched can be trusted: everybody in flight fails, all state goes."""
        self._tick_begun = time.monotonic()
        try:
            step()
        except Exception:
            self.failures += 1
            self._observer.step_failed()
            log.exception("a decoding step failed (%d in a row)", self.failures)
            for job in self._active():
                self._drop(job, "failed", StepFailed("the model failed while it was writing this"))
            self._decoder = self._new_decoder()
            self._followers.clear()
            self._scoring.clear()
            self._places = 0
            self.cache.clear()
        else:
            self.failures = 0
            self.last_step = time.monotonic()
        finally:
            self._tick_begun = None

    def _new_decoder(self) -> BatchDecoder:
        extra: dict[str, npt.DTypeLike] = {"flush_at": np.float64, "deadline": np.float64, "begun": np.bool_}
        return BatchDecoder(self._engine, extra, TICK_S)

    def _active(self) -> list[AnyJob]:
        parts = [row.owner for row in self._decoder.rows] + [part for _, part in self._followers]
        return [*dict.fromkeys(part.job for part in parts), *self._scoring]

    def _expire(self, now: float) -> None:
        late: list[AnyJob] = [job for job in self._scoring if job.timing.deadline <= now]
        if len(self._decoder):
            places = np.flatnonzero(self._decoder.column("deadline") <= now)
            late += dict.fromkeys(self._decoder.rows[place].owner.job for place in places.tolist())
        # The queue is in order of arrival, and nearly always in order of deadlines: only its head is looked at.
        with self._wake:
            late += [job for job in self._queue if job.timing.deadline <= now] if self._head_is_late(now) else []
        for job in late:
            self._drop(job, "deadline", DeadlineExceeded("the answer took longer than it may"))

    def _head_is_late(self, now: float) -> bool:
        return bool(self._queue) and self._queue[0].timing.deadline <= now

    def _admit(self, now: float) -> None:
        for row, part in self._followers:
            self._seat(row, part)
        self._followers.clear()
        while True:
            with self._wake:
                if not self._queue or self._places + self._queue[0].places > self._max_rows:
                    return
                job = self._queue.popleft()
            self._places += job.places
            job.timing.admitted = now
            if isinstance(job, ScoreJob):
                job.scorer = Scorer(self._engine, job.request.indices, job.request.alternatives)
                self._scoring.append(job)
                self._observer.admitted(now - job.timing.submitted, None)
            else:
                cached = self._begin(job)
                self._observer.admitted(now - job.timing.submitted, cached)

    def _begin(self, job: Job) -> int | None:
        """Rows for a request. Its choices share one reading: the first reads, the others join it before the prefix's
        last character. Returns how many characters the cache spared, None where it was not asked."""
        request = job.request
        job.parts = [Part(job, index, self._text) for index in range(request.n)]
        if request.state is not None:
            self._fork(job.parts, np.array([request.state.pending]), pad(self._engine, request.state))
            return None
        but_last, last = request.prefix[:-1], request.prefix[-1:]
        if not len(but_last):
            self._fork(job.parts, last, None)
            return None
        cached, state = self.cache.longest(but_last)
        if cached == len(but_last):
            self._fork(job.parts, last, state)
            return cached

        def read(state: RowState) -> None:
            self.cache.put(but_last, state)
            self._followers += [(part.make_row(last, state), part) for part in others]

        reader, *others = job.parts
        row = reader.make_row(request.prefix[cached:], state)
        row.snapshot_at, row.on_snapshot = len(but_last) - cached, read
        self._seat(row, reader)
        return cached

    def _fork(self, parts: list[Part], forced: Indices, state: RowState | None) -> None:
        for part in parts:
            self._seat(part.make_row(forced, state), part)

    def _seat(self, row: Row, part: Part) -> None:
        request = part.job.request
        recovery = row is not part.row
        flush_at = 0.0 if request.stream else time.perf_counter() + FLUSH_S if request.stop else NEVER
        self._decoder.admit(
            row, flush_at=NEVER if recovery else flush_at, deadline=part.job.timing.deadline, begun=recovery
        )

    def _tick(self) -> None:
        decoder = self._decoder
        rows, begun = len(decoder), time.perf_counter()
        before = decoder.steps
        finished = decoder.tick()
        now = time.perf_counter()
        self._observer.tick(rows, decoder.steps - before, now - begun)
        gone = set(finished.tolist())
        self._note_first(now)
        for place in gone:
            self._retire(decoder.rows[place], now)
        due = np.flatnonzero((decoder.column("flush_at") <= now) & (decoder.unread() > 0))
        for place in due.tolist():
            if place not in gone and self._flush(place, now):
                gone.add(place)
        if gone:
            decoder.remove(np.array(sorted(gone)))

    def _note_first(self, now: float) -> None:
        decoder = self._decoder
        new = np.flatnonzero(~decoder.column("begun") & (decoder.written() > 0))
        for place in new.tolist():
            self._observer.first_character(now - decoder.rows[place].owner.job.timing.submitted)
        decoder.column("begun")[new] = True

    def _retire(self, row: Row, now: float) -> None:
        part: Part = row.owner
        if row is part.row:
            self._show(part, end=True)
            if part.job.request.return_state and part.ending == "length":
                assert row.state is not None
                part.keep_state(row.state, row.pending, self._engine)
                row.state = None
        self._end(part, now)

    def _flush(self, place: int, now: float) -> bool:
        """Shows what a row has written. True where it has met a stop string and is done."""
        decoder = self._decoder
        part: Part = decoder.rows[place].owner
        decoder.collect(place)
        self._show(part, end=False)
        decoder.column("flush_at")[place] = now + FLUSH_S
        if part.ending is None:
            return False
        self._end(part, now)
        return True

    def _show(self, part: Part, end: bool) -> None:
        chunk = part.take(end)
        if chunk is not None and part.job.request.stream:
            self._events.append((part.job.generation.push, chunk))

    def _end(self, part: Part, now: float) -> None:
        """A choice has its text. One that a stop string cut may still need the state there."""
        job = part.job
        if job.request.return_state and part.state is None:
            row = part.recovery(self._engine)
            if row is not None:
                self._followers.append((row, part))
                return
        self._give_back(job, 1)
        if job.places == 0:
            self._events.append((job.generation.finish, job.result(now)))
            reason = job.parts[0].ending or "length"
            self._over(job, reason, len(job.request.prefix), job.written)

    def _score(self) -> None:
        job = self._scoring[0]
        self._scoring.rotate(-1)
        assert job.scorer is not None
        job.scorer.advance(SCORE_CHARS)
        if job.scorer.done:
            self._scoring.remove(job)
            self._give_back(job, 1)
            self._events.append((job.generation.finish, job.scorer.result()))
            self._over(job, "score", len(job.request.indices), 0)

    def _drop(self, job: AnyJob, outcome: str, error: SchedulerError | None) -> None:
        """Takes a request out, wherever it is. One that is over already is left alone."""
        with self._wake:
            waiting = job in self._queue
            if waiting:
                self._queue.remove(job)
        if not waiting:
            if job.places == 0:
                return
            self._give_back(job, job.places)
            if isinstance(job, ScoreJob):
                self._scoring.remove(job)
            else:
                self._followers = [(row, part) for row, part in self._followers if part.job is not job]
                rows = self._decoder.rows
                self._decoder.remove(np.array([at for at, row in enumerate(rows) if row.owner.job is job], np.intp))
        if error is not None:
            self._events.append((job.generation.fail, error))
        read = 0 if waiting or isinstance(job, ScoreJob) else len(job.request.prefix)
        self._over(job, outcome, read, job.written if isinstance(job, Job) else 0)

    def _give_back(self, job: AnyJob, places: int) -> None:
        job.places -= places
        self._places -= places

    def _over(self, job: AnyJob, outcome: str, read: int, written: int) -> None:
        with self._wake:
            self._open -= 1
        self._observer.finished(outcome, read, written, time.perf_counter() - job.timing.submitted)

    def _send(self) -> None:
        if not self._events:
            return
        events, self._events = self._events, []
        assert self._loop is not None
        try:
            self._loop.call_soon_threadsafe(_hand_out, events)
        except RuntimeError:  # the loop is closed: nobody is left to tell
            log.debug("%d answers came after the event loop was closed", len(events))

    def _text(self, indices: Indices) -> str:
        return self._characters[indices].tobytes().decode("utf-32-le", "surrogatepass")


def _hand_out(events: list[Event]) -> None:
    for call, payload in events:
        call(payload)


def _timing(timeout_s: float | None) -> Timing:
    now = time.perf_counter()
    return Timing(now, NEVER if timeout_s is None else now + timeout_s)
