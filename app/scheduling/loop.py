"""What the scheduler asks of the event loop and of a clock: asyncio's own has it all, and a test's may be a list.

What stands below `scheduler` and `worker` knows no asyncio, and the time by the clock that it is handed alone.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any, Protocol

Clock = Callable[[], float]  # seconds; goes on evenly, whatever the time of day does


class Waiter(Protocol):
    """Awaited by whoever waits, until its result is set."""

    def done(self) -> bool: ...

    def set_result(self, result: None, /) -> None: ...

    def __await__(self) -> Generator[Any, None, Any]: ...


class Timer(Protocol):
    def cancel(self) -> None: ...


class Loop(Protocol):
    """call_soon_threadsafe: the way to it from the decode thread; raises RuntimeError once it is closed."""

    def call_soon_threadsafe(self, callback: Callable[..., object], /, *args: Any) -> object: ...

    def call_later(self, delay: float, callback: Callable[..., object], /, *args: Any) -> Timer: ...

    def create_future(self) -> Waiter: ...
