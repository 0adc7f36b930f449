"""Threads that share out rows or columns, one per core.

The pieces are the same for a given number of threads, so the same machine gives the same bytes.
"""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any, TypeAlias

from model.processor import available_cores

Work: TypeAlias = Callable[[int, int], Any]
Outcomes: TypeAlias = "SimpleQueue[BaseException | None]"
Task: TypeAlias = tuple[Work, tuple[int, int], Outcomes]

MAX_THREADS = 16
_GRAIN = 4  # rows per block of the small product


class Team:
    def __init__(self, threads: int | None = None) -> None:
        self.threads = threads or min(available_cores(), MAX_THREADS)
        self._tasks: list[SimpleQueue[Task | None]] = [SimpleQueue() for _ in range(self.threads - 1)]
        for tasks in self._tasks:
            threading.Thread(target=_work, args=(tasks,), name="training", daemon=True).start()
        weakref.finalize(self, _dismiss, self._tasks)

    def share(self, size: int, work: Work, grain: int = _GRAIN) -> None:
        """Calls work(lo, hi) for pieces that make up 0 … size − 1, at the same time; raises what one of them raises."""
        each = -(-size // (self.threads * grain)) * grain
        pieces = [(lo, min(lo + each, size)) for lo in range(0, size, each)]
        done: Outcomes = SimpleQueue()
        for tasks, piece in zip(self._tasks, pieces[1:], strict=False):
            tasks.put((work, piece, done))
        failure = _outcome(work, pieces[0])
        for _ in pieces[1:]:  # all of them, whatever happened: they write into the caller's arrays
            failure = done.get() or failure
        if failure is not None:
            raise failure


def _work(tasks: SimpleQueue[Task | None]) -> None:
    while (task := tasks.get()) is not None:
        work, piece, done = task
        done.put(_outcome(work, piece))
        del task, work, done  # they hold the caller's arrays


def _outcome(work: Work, piece: tuple[int, int]) -> BaseException | None:
    try:
        work(*piece)
    except BaseException as error:
        return error
    return None


def _dismiss(threads: list[SimpleQueue[Task | None]]) -> None:
    for tasks in threads:
        tasks.put(None)
