"""What is asked of the scheduler, what it answers, and the handle on an answer that is still being made.

Indices, not text, go in: the prefix was read and normalised before. Knows nothing of HTTP or of threads.

One vocabulary for the event loop and the decode thread, kept in one place although it is long.
"""

# ruff: noqa: N818 - these errors are named as asyncio and queue name theirs: QueueFull

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Generator
from dataclasses import dataclass
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

    prefix: Indices
    num_chars: int
    sampling: Sampling = Sampling()  # noqa: RUF009 - frozen
    n: int = 1
    stop: tuple[str, ...] = ()
    logprobs: int | None = None
    state: Continuation | None = None
    return_state: bool = False
    stream: bool = False
    timeout_s: float | None = None
    caller: str = ""


@dataclass(frozen=True)
class ScoreRequest:
    """The answer is a `Measured` of all characters of `indices` but the first."""

    indices: Indices
    alternatives: int = 0
    timeout_s: float | None = None
    caller: str = ""


@dataclass(frozen=True)
class Chunk:
    """New text of choice `index`, never empty. measured: a row per character where log-probabilities are wanted."""

    index: int
    text: str
    measured: Measured | None


@dataclass(frozen=True)
class Choice:
    """finish_reason: "length" or "stop". seed: None where it was greedy."""

    index: int
    text: str
    finish_reason: str
    seed: int | None
    measured: Measured | None
    state: Continuation | None


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


class Generation(Generic[T]):
    """An answer in the making, for the event loop's thread.

    `await generation` gives the result or raises a SchedulerError. `async for chunk in generation` gives chunks as they
    come and ends with the text or raises; the result can be awaited afterwards. `cancel` frees the rows at the next
    tick; leaving it unread costs nothing but its memory.
    """

    __slots__ = ("_cancel", "_chunks", "_error", "_loop", "_result", "_waiters")

    def __init__(self, loop: asyncio.AbstractEventLoop, cancel: Callable[[], None]) -> None:
        self._loop = loop
        self._cancel = cancel
        self._chunks: deque[Chunk] = deque()
        self._waiters: list[asyncio.Future[None]] = []
        self._result: T | None = None
        self._error: SchedulerError | None = None

    @property
    def done(self) -> bool:
        return self._result is not None or self._error is not None

    def cancel(self) -> None:
        if not self.done:
            self._cancel()
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
                yield self._chunks.popleft()
            if self._error is not None:
                raise self._error
            if self._result is not None:
                return
            await self._changed()

    def _changed(self) -> asyncio.Future[None]:
        waiter: asyncio.Future[None] = self._loop.create_future()
        self._waiters.append(waiter)
        return waiter

    # From here on for the scheduler.

    def push(self, chunk: Chunk) -> None:
        if not self.done:
            self._chunks.append(chunk)
            self._wake()

    def finish(self, result: T) -> None:
        if not self.done:
            self._result = result
            self._wake()

    def fail(self, error: SchedulerError) -> None:
        if not self.done:
            self._error = error
            self._wake()

    def _wake(self) -> None:
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_result(None)
        self._waiters.clear()
