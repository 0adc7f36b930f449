"""All that the event loop and the decode thread share, under one lock. Knows nothing of what is done with it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field

from app.scheduling.job import Job


@dataclass(slots=True)
class Mail:
    """new: to be answered. left: nobody waits for them any more. caught_up: their reader wants more."""

    new: list[Job] = field(default_factory=list)
    left: list[Job] = field(default_factory=list)
    caught_up: list[Job] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.new or self.left or self.caught_up)


class Inbox:
    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._new: dict[Job, None] = {}
        self._left: list[Job] = []
        self._caught_up: list[Job] = []
        self._closed = False

    def __len__(self) -> int:
        """Continuations that the thread has not seen."""
        with self._changed:
            return sum(job.size for job in self._new)

    # For the event loop.

    def put(self, job: Job) -> None:
        with self._changed:
            self._new[job] = None
            self._changed.notify()

    def leave(self, job: Job) -> None:
        """One that the thread has not seen it never will."""
        with self._changed:
            if job in self._new:
                del self._new[job]
                return
            self._left.append(job)
            self._changed.notify()

    def catch_up(self, job: Job) -> None:
        with self._changed:
            self._caught_up.append(job)
            self._changed.notify()

    def close(self) -> None:
        with self._changed:
            self._closed = True
            self._changed.notify()

    # For the decode thread.

    def take(self, wait: bool, wait_s: float | None = None) -> Mail | None:
        """What came since the last time; None once closed. wait: until there is something, or wait_s are over."""
        with self._changed:
            if wait and not (self._closed or self._new or self._left or self._caught_up):
                self._changed.wait(wait_s)
            if self._closed:
                return None
            mail = Mail(list(self._new), self._left, self._caught_up)
            self._new, self._left, self._caught_up = {}, [], []
            return mail

    def check(self, seen: Callable[[Job], bool]) -> None:
        """seen: whether it is one of those that the thread has. Raises AssertionError."""
        with self._changed:
            assert not any(map(seen, self._new)), "a request is in the mail though the thread has it"
            assert not self._new.keys() & set(self._left), "a request comes and leaves in the same mail"
            for jobs in (self._left, self._caught_up):
                assert len(set(jobs)) == len(jobs), "the thread is told something twice"
