"""Who has no place in the decoder, and who gets the next one.

Places are given row by row. Newcomers were never seated; parked rows were, and made room for others. Both wait in
lines, one per caller and taken from in turn, and while both wait each kind gets every second place. Where places are
missing, rows that have had theirs for QUANTUM_S make room for newcomers, and those that have had it for LONG_S for
parked ones: of the callers that hold more than the one who waits, or of its own; the longest seated first.

So with M places the kth caller in turn has its first newcomer seated at most ⌈2k / M⌉ · QUANTUM_S and a turn after it
came, however long everybody's work is. Where k ≤ M / 2 that is QUANTUM_TURNS turns and one, a turn being TURN_S or one
step of the engine, whichever is longer.

Resting rows wait for nothing but their reader. Knows nothing of what rows write.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

import numpy as np
import numpy.typing as npt

from app.scheduling.displacement import Displacement
from app.scheduling.job import Job, job_of
from app.scheduling.lines import Lines
from model.decoding.row import Row

TURN_S = 0.008  # about how long an engine call may take: the longer, the less two threads fight over Python's lock
QUANTUM_TURNS = 16
QUANTUM_S = QUANTUM_TURNS * TURN_S
LONG_S = 4 * QUANTUM_S


class Outside:
    def __init__(self) -> None:
        self._newcomers: Lines[Job | Row] = Lines()
        self._parked: Lines[Row] = Lines()
        self._resting: dict[Job, list[Row]] = {}
        self._newcomer_next = True
        self._waiting = 0  # continuations in the lines

    def __bool__(self) -> bool:
        """Whether anybody waits for a place."""
        return bool(self._newcomers or self._parked)

    def __len__(self) -> int:
        """Continuations, those that rest as well."""
        return self._waiting + sum(map(len, self._resting.values()))

    def put(self, job: Job) -> None:
        self._newcomers.add(job.caller, job)
        self._waiting += job.size

    def follow(self, rows: Sequence[Row]) -> None:
        """Rows of a request that has begun: before those of its caller that have not."""
        for row in reversed(rows):
            self._newcomers.add_first(job_of(row).caller, row)
        self._waiting += len(rows)

    def park(self, rows: Sequence[Row]) -> None:
        for row in rows:
            self._parked.add(job_of(row).caller, row)
        self._waiting += len(rows)

    def rest(self, rows: Sequence[Row]) -> None:
        for row in rows:
            self._resting.setdefault(job_of(row), []).append(row)

    def wake(self, job: Job) -> None:
        self.park(self._resting.pop(job, []))

    def next(self) -> Job | Row | None:
        """Who is to be seated, taken out of its line."""
        if self._newcomers and (self._newcomer_next or not self._parked):
            self._newcomer_next = False
            item = self._newcomers.take()
            self._waiting -= _size(item)
            return item
        if self._parked:
            self._newcomer_next = True
            self._waiting -= 1
            return self._parked.take()
        return None

    def take_out(self, jobs: Collection[Job]) -> list[Row]:
        """Whatever there is of these requests."""
        newcomers = self._newcomers.remove(lambda item: (item if isinstance(item, Job) else job_of(item)) in jobs)
        parked = self._parked.remove(lambda row: job_of(row) in jobs)
        self._waiting -= sum(map(_size, newcomers)) + len(parked)
        rows = [item for item in newcomers if isinstance(item, Row)] + parked
        return rows + [row for job in jobs for row in self._resting.pop(job, [])]

    def rows(self) -> Iterator[Row]:
        yield from (item for item in self._newcomers if isinstance(item, Row))
        yield from self._parked
        for rows in self._resting.values():
            yield from rows

    def unseen(self) -> set[Job]:
        """Requests without a row yet."""
        return {item for item in self._newcomers if isinstance(item, Job)}

    def check(self) -> None:
        """That what is counted is what is there. Raises AssertionError."""
        self._newcomers.check()
        self._parked.check()
        waiting = sum(map(_size, self._newcomers)) + len(self._parked)
        assert self._waiting == waiting, f"{self._waiting} continuations are counted, and {waiting} wait"
        assert all(self._resting.values()), "a request rests without a row"

    def who_makes_room(
        self, free: int, rows: Sequence[Row], seated: npt.NDArray[np.float64], now: float
    ) -> npt.NDArray[np.intp]:
        """The places of the rows in the decoder that must give theirs up. seated: when each got it."""
        new, parked = len(self._newcomers), len(self._parked)
        half, since = min(new, parked), QUANTUM_S
        if new + half <= free:
            half, since = parked, LONG_S
        if new + half <= free:
            return np.zeros(0, np.intp)
        candidates = np.flatnonzero(seated <= now - since)
        candidates = candidates[np.argsort(seated[candidates], kind="stable")]
        displacement = Displacement([job_of(row).caller for row in rows], candidates.tolist(), free)
        displacement.ask(self._newcomers.by_caller(), new)
        displacement.ask(self._parked.by_caller(), half)
        return np.array(displacement.displaced, np.intp)


def _size(item: Job | Row) -> int:
    return item.size if isinstance(item, Job) else 1
