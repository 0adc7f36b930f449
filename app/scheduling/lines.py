"""Who waits for a place: one line per caller, taken from in turn. Knows nothing of what waits in them."""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

T = TypeVar("T")


class Lines(Generic[T]):
    def __init__(self) -> None:
        self._lines: OrderedDict[str, deque[T]] = OrderedDict()  # the caller whose turn it is first; none is empty
        self._size = 0

    def __len__(self) -> int:
        return self._size

    def __iter__(self) -> Iterator[T]:
        for line in self._lines.values():
            yield from line

    def check(self) -> None:
        """Raises AssertionError."""
        assert all(self._lines.values()), "a line in which nobody waits"
        assert self._size == sum(map(len, self._lines.values())), "more or fewer are counted than wait in the lines"

    def by_caller(self) -> dict[str, int]:
        """How many wait, in the order of turns."""
        return {caller: len(line) for caller, line in self._lines.items()}

    def add(self, caller: str, item: T) -> None:
        self._lines.setdefault(caller, deque()).append(item)
        self._size += 1

    def add_first(self, caller: str, item: T) -> None:
        """Before the caller's others. Its turn comes when it comes."""
        self._lines.setdefault(caller, deque()).appendleft(item)
        self._size += 1

    def take(self) -> T:
        """The first of the caller whose turn it is, who then waits until all others had theirs."""
        caller, line = next(iter(self._lines.items()))
        item = line.popleft()
        self._size -= 1
        if line:
            self._lines.move_to_end(caller)
        else:
            del self._lines[caller]
        return item

    def remove(self, unwanted: Callable[[T], bool]) -> list[T]:
        """Takes out whatever is unwanted, and returns it."""
        removed = [item for item in self if unwanted(item)]
        if removed:
            kept = {caller: deque(item for item in line if not unwanted(item)) for caller, line in self._lines.items()}
            self._lines = OrderedDict((caller, line) for caller, line in kept.items() if line)
            self._size -= len(removed)
        return removed
