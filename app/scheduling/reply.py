"""An answer in the making: waited for, read piece by piece, given up. Knows nothing of HTTP."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator, Callable, Generator
from typing import Generic, TypeVar

from app.refusals import Cancelled, Refusal
from app.scheduling.loop import Loop, Waiter
from app.scheduling.requests import Chunk

T = TypeVar("T")
UNREAD_BYTES = 256 * 1024  # of one answer's chunks, before its rows wait for the reader


class Reply(Generic[T]):
    """An answer in the making, for the event loop's thread.

    `await generation` gives the result or raises a Refusal. `async for chunk in generation` gives chunks as they
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

    def __init__(self, loop: Loop) -> None:
        self._loop = loop
        self._settled: Callable[[], None] | None = None
        self._caught_up: Callable[[], None] | None = None
        self._chunks: deque[Chunk] = deque()
        self._waiters: list[Waiter] = []
        self._result: T | None = None
        self._error: Refusal | None = None
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
    def error(self) -> Refusal | None:
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

    def _changed(self) -> Waiter:
        waiter = self._loop.create_future()
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

    def fail(self, error: Refusal) -> None:
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
