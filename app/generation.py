"""What is asked of the scheduler, what it answers, and the handle on an answer that is still being made.

Indices, not text, go in: the prefix was read and normalised before. Knows nothing of HTTP or of threads.

One vocabulary for the event loop and the decode thread, kept in one place although it is long.
"""

# ruff: noqa: N818 - these errors are named as asyncio and queue name theirs: QueueFull

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Generator
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from model.engines.interface import Floats, Indices
from model.measure import Measured
from model.sampling import Sampling


@dataclass(frozen=True)
class Continuation:
    """Where a text was left: the state before its last character was read, and that character.

    arrays: one (H,) array per name in `ModelConfig.state_names`. position: of the next character in the random stream.
    """

    arrays: tuple[Floats, ...]
    pending: int
    position: int


@dataclass(frozen=True)
class GenerateRequest:
    """prefix: at least one index (int64), or empty where `state` is given. num_chars: at least 1.

    sampling: with its seed, unless greedy; choice i of `n` is written with seed + i. stop: none of them empty.
    logprobs: how many alternatives per character, None for no log-probabilities. stream: chunks are wanted.
    timeout_s: from now until the answer must be there. caller: who takes turns with others, whatever names them.
    """

    prefix: Indices = field(repr=False)
    num_chars: int
    sampling: Sampling = Sampling()  # noqa: RUF009 - frozen
    n: int = 1
    stop: tuple[str, ...] = field(default=(), repr=False)
    logprobs: int | None = None
    state: Continuation | None = None
    return_state: bool = False
    stream: bool = False
    timeout_s: float | None = None
    caller: str = ""

    @property
    def answer_bytes(self) -> int:
        """The most that it and its answer take in memory, about."""
        written = self.n * (ROW_BYTES + self.num_chars * _bytes_per_character(self.logprobs))
        return len(self.prefix) * TEXT_BYTES + written


@dataclass(frozen=True)
class ScoreRequest:
    """The answer is a `Measured` of all characters of `indices` but the first."""

    indices: Indices = field(repr=False)
    alternatives: int = 0
    timeout_s: float | None = None
    caller: str = ""

    @property
    def answer_bytes(self) -> int:
        """As of a GenerateRequest."""
        return ROW_BYTES + len(self.indices) * _bytes_per_character(self.alternatives)


def _bytes_per_character(logprobs: int | None) -> int:
    return TEXT_BYTES + (0 if logprobs is None else MEASURED_BYTES + logprobs * ALTERNATIVE_BYTES)


@dataclass(frozen=True)
class Chunk:
    """New text of choice `index`, never empty. measured: a row per character where log-probabilities are wanted.

    size: about how many bytes it takes.
    """

    index: int
    text: str = field(repr=False)
    measured: Measured | None = field(repr=False)

    @property
    def size(self) -> int:
        measured = 0 if self.measured is None else sum(values.nbytes for values in self.measured)
        return CHUNK_BYTES + 4 * len(self.text) + measured


@dataclass(frozen=True)
class Choice:
    """finish_reason: "length" or "stop". seed: None where it was greedy."""

    index: int
    text: str = field(repr=False)
    finish_reason: str
    seed: int | None
    measured: Measured | None = field(repr=False)
    state: Continuation | None = field(repr=False)


@dataclass(frozen=True)
class Result:
    """queue_ms: waiting for a place. decode_ms: from there to the last character of the last choice."""

    choices: tuple[Choice, ...]
    queue_ms: float
    decode_ms: float
    chars_read: int
    chars_written: int


class SchedulerError(Exception):
    """Why there is no answer. `retry_after_s`: when it is worth asking again, None for never by waiting."""

    retry_after_s: int | None = None


class QueueFull(SchedulerError):
    """As many wait as may."""

    retry_after_s = 1


class AnswersFull(QueueFull):
    """The answers that are made and read take as much memory as they may."""


class Draining(SchedulerError):
    """No more requests are taken, or this one was still being answered when time was up."""

    retry_after_s = 5


class NotReady(SchedulerError):
    """The model has not run yet, or has failed several times in a row."""

    retry_after_s = 5


class DeadlineExceeded(SchedulerError):
    """The answer took longer than it may."""

    retry_after_s = 1


class StepFailed(SchedulerError):
    """The engine failed while this was being answered."""


class Cancelled(SchedulerError):
    """`cancel` was called."""


T = TypeVar("T")

ROW_BYTES = 4096  # of a continuation without its characters
TEXT_BYTES = 16  # of a character: its index, the character, and its JSON
MEASURED_BYTES = 24  # of what is measured of one: two float64, an int32 and their share of arrays
ALTERNATIVE_BYTES = 12  # of each of its alternatives: an int32 and a float64
UNREAD_BYTES = 256 * 1024  # of one answer's chunks, before its rows wait for the reader
CHUNK_BYTES = 400  # of a chunk without what is in it


class Generation(Generic[T]):
    """An answer in the making, for the event loop's thread.

    `await generation` gives the result or raises a SchedulerError. `async for chunk in generation` gives chunks as they
    come and ends with the text or raises; the result can be awaited afterwards. `cancel` frees the rows at the next
    turn. Who reads slowly is waited for: unread chunks take no more than UNREAD_BYTES or so.
    """

    __slots__ = (
        "_caught_up",
        "_chunks",
        "_error",
        "_loop",
        "_read",
        "_rests",
        "_result",
        "_sent",
        "_settled",
        "_waiters",
    )

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._settled: Callable[[], None] | None = None
        self._caught_up: Callable[[], None] | None = None
        self._chunks: deque[Chunk] = deque()
        self._waiters: list[asyncio.Future[None]] = []
        self._result: T | None = None
        self._error: SchedulerError | None = None
        # Bytes of chunks so far: one is counted by the decode thread alone, the other by the reader alone.
        self._sent = 0
        self._read = 0
        self._rests = False

    @property
    def done(self) -> bool:
        return self._result is not None or self._error is not None

    @property
    def answer(self) -> T | None:
        return self._result

    @property
    def error(self) -> SchedulerError | None:
        return self._error

    def cancel(self) -> None:
        self.fail(Cancelled("cancelled"))

    def __await__(self) -> Generator[None, None, T]:
        while not self.done:
            yield from self._changed().__await__()
        if self._error is not None:
            raise self._error
        assert self._result is not None
        return self._result

    async def __aiter__(self) -> AsyncIterator[Chunk]:
        while True:
            while self._chunks:
                chunk = self._chunks.popleft()
                self._read += chunk.size
                if self._rests and self._sent - self._read <= UNREAD_BYTES // 2:
                    self._rests = False
                    if self._caught_up is not None:
                        self._caught_up()
                yield chunk
            if self._error is not None:
                raise self._error
            if self._result is not None:
                return
            await self._changed()

    def _changed(self) -> asyncio.Future[None]:
        waiter: asyncio.Future[None] = self._loop.create_future()
        self._waiters.append(waiter)
        return waiter

    # For the scheduler, on the event loop.

    def watch(self, settled: Callable[[], None], caught_up: Callable[[], None]) -> None:
        """settled: called once, when the result or the error is there. caught_up: the rows that rest may go on."""
        self._settled, self._caught_up = settled, caught_up

    def push(self, chunk: Chunk) -> None:
        if not self.done:
            self._chunks.append(chunk)
            self._wake()

    def finish(self, result: T) -> None:
        if not self.done:
            self._result = result
            self._settle()

    def fail(self, error: SchedulerError) -> None:
        if not self.done:
            self._error = error
            self._settle()

    def _settle(self) -> None:
        settled, self._settled, self._caught_up = self._settled, None, None  # what they refer to is free now
        if settled is not None:
            settled()
        self._wake()

    def _wake(self) -> None:
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_result(None)
        self._waiters.clear()

    # For the scheduler, on the decode thread.

    def sends(self, chunk: Chunk) -> None:
        """Counts a chunk that is on its way to `push`."""
        self._sent += chunk.size

    def must_rest(self) -> bool:
        """Whether the reader is so far behind that nothing more should be written; `caught_up` is called later."""
        if self._sent - self._read <= UNREAD_BYTES:
            return False
        # The flag first: a reader who catches up just now either sees it or is seen here.
        self._rests = True
        if self._sent - self._read > UNREAD_BYTES // 2:
            return True
        self._rests = False
        return False
