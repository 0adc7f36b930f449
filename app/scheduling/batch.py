"""The requests of one model in one decoder. A turn: seat who waits → one engine call for all rows → what came of it.

Synchronous and for one thread: no lock, no event loop, no clock but the one it is handed. What is over, and what may be
shown, is returned as calls to be made on the event loop. Who is seated when is decided in `outside`; a row that makes
room is parked, which changes nothing of what it writes. Rows of a request also rest while its reader is too far behind.

Longer than a page because every step of a turn works on the same rows, and an error in any of them ends in one place.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from app.refusals import StepFailed
from app.scheduling.job import Decode, Job, job_of
from app.scheduling.loop import Clock
from app.scheduling.observer import Observer
from app.scheduling.outside import TURN_S, Outside
from app.scheduling.parts import FLUSH_S, Part, Reading
from model.decoding.decoder import BatchDecoder
from model.decoding.engine import Engine
from model.decoding.row import Row
from model.decoding.state_cache import StateCache

Call = tuple[Callable[[Any], None], Any]  # to be made on the event loop


class Batch:
    """max_rows: places. clock: seconds, as `Job.submitted` counts them. `observer` may raise nothing."""

    def __init__(
        self,
        engine: Engine,
        decode: Decode,
        max_rows: int,
        cache: StateCache,
        observer: Observer,
        clock: Clock,
    ) -> None:
        self._engine = engine
        self._decode = decode
        self._max_rows = max_rows
        self._cache = cache
        self._observer = observer
        self._clock = clock
        self._decoder = self._new_decoder()
        self._open: dict[Job, None] = {}  # all that are not over
        self._outside = Outside()
        self._calls: list[Call] = []

    @property
    def rows(self) -> int:
        """Decoding now."""
        return len(self._decoder)

    @property
    def steps(self) -> int:
        """Of all turns so far."""
        return self._decoder.steps

    @property
    def waiting(self) -> int:
        """Continuations without a place."""
        return len(self._outside)

    @property
    def busy(self) -> bool:
        return bool(self.rows or self._outside)

    def put(self, jobs: Collection[Job]) -> None:
        for job in jobs:
            self._outside.put(job)
            self._open[job] = None

    def __contains__(self, job: Job) -> bool:
        return job in self._open

    def leave(self, jobs: Collection[Job]) -> None:
        """Takes requests out, wherever they are. Those that are over already are left alone."""
        if jobs:
            self._take_out(set(jobs))

    def wake(self, jobs: Collection[Job]) -> None:
        """Their readers have caught up."""
        for job in jobs:
            self._outside.wake(job)

    def turn(self) -> list[Call]:
        """After an exception call `fail`."""
        self._seat_who_waits()
        if self.rows:
            self._advance()
        calls, self._calls = self._calls, []
        return calls

    def fail(self) -> list[Call]:
        """After an error in a turn nothing that was in the decoder can be trusted: whoever had a row in it fails, and
        whoever lost one on the way; all state but that of parked rows goes. Returns the calls of the turn as well."""
        self._decoder = self._new_decoder()
        whole = self._whole()
        affected = [job for job in self._open if job not in whole]
        self._take_out(affected)
        self._cache.clear()
        calls, self._calls = self._calls, []
        failed = "the model failed while it was writing this"
        return calls + [(job.generation.fail, StepFailed(failed)) for job in affected]

    def check(self) -> None:
        """What must hold between two turns: every row of every request is in one place, no place is given twice, what
        is counted is what is there, and nothing is kept of what is over. Raises AssertionError."""
        self._decoder.check()
        self._outside.check()
        self._cache.check()
        rows = [*self._decoder.rows, *self._outside.rows()]
        assert len(set(map(id, rows))) == len(rows), "a row is in two places"
        assert self.rows <= self._max_rows, f"{self.rows} rows have a place, and there are {self._max_rows}"
        assert not any(map(self._is_over, rows)), "a row goes on behind its end"
        assert set(map(job_of, rows)) <= self._open.keys(), "a row goes on though its request is over"
        assert self._whole() == self._open.keys(), "a request lost a row, or has more than are its own"
        assert not self._calls, "what came of a turn was not handed out"

    def _whole(self) -> set[Job]:
        """The requests all of whose rows are somewhere."""
        found = Counter(map(job_of, [*self._decoder.rows, *self._outside.rows()]))
        return self._outside.unseen() | {job for job in self._open if job.live and job.live == found[job]}

    # Seating and parking.

    def _seat_who_waits(self) -> None:
        now = self._clock()
        if not self._outside:
            return
        rows, seated = self._decoder.rows, self._decoder.column("seated")
        parked = self._taken_out(self._outside.who_makes_room(self._max_rows - self.rows, rows, seated, now))
        while self.rows < self._max_rows and (item := self._outside.next()) is not None:
            for row in self._begin(item, now) if isinstance(item, Job) else [item]:
                self._seat(row, now)
        self._outside.park(parked)

    def _taken_out(self, places: npt.NDArray[np.intp]) -> list[Row]:
        """Rows that leave the decoder to come back. What they wrote is shown; one that so meets its end is over."""
        rows = self._decoder.park(places) if len(places) else []
        left = []
        for row in rows:
            self._show(row, end=False)
            if self._is_over(row):
                self._over(row)
            else:
                left.append(row)
        return left

    def _begin(self, job: Job, now: float) -> list[Row]:
        """The first of a request's rows, to be seated; the others wait in front of their caller's line."""

        def follow(rows: Sequence[Row]) -> None:
            job.live += len(rows)
            self._outside.follow(rows)

        try:
            rows, cached = job.begin(self._engine, self._cache, self._decode, follow)
        except Exception as error:
            failed = StepFailed("the model cannot begin with this")
            failed.__cause__ = error
            self._close(job, job.generation.fail, failed)
            return []
        job.admitted = now
        self._observer.admitted(now - job.submitted, cached)
        if not rows:
            self._close(job, job.generation.finish, job.result(now))
            return []
        job.live += 1
        follow(rows[1:])
        return rows[:1]

    def _close(self, job: Job, call: Callable[[Any], None], what: object) -> None:
        self._open.pop(job)
        job.close()
        self._calls.append((call, what))

    def _seat(self, row: Row, now: float) -> None:
        part: Part | Reading = row.owner
        if not row.steps:  # its only character was chosen without one
            self._observer.first_character(now - part.job.submitted)
            self._retire(row)
            return
        tells = isinstance(part, Part) and row is part.row and row.done < len(row.forced)  # of its first character
        self._decoder.admit(row, flush_at=now + part.look_after_s(row), begun=not tells, seated=now)

    # Decoding.

    def _advance(self) -> None:
        decoder = self._decoder
        rows, before, begun = self.rows, decoder.steps, self._clock()
        finished = decoder.tick()
        now = self._clock()
        self._observer.tick(rows, decoder.steps - before, now - begun)
        self._note_first(now)
        gone = finished.tolist()
        for place in gone:
            self._retire(decoder.rows[place])
        due = (decoder.column("flush_at") <= now) & (decoder.unread() > 0)
        due[finished] = False
        behind = set()
        for place in np.flatnonzero(due).tolist():
            row: Row = decoder.rows[place]
            decoder.collect(place)
            decoder.column("flush_at")[place] = now + FLUSH_S
            self._show(row, end=False)
            if self._is_over(row):
                gone.append(place)
                self._over(row)
            elif job_of(row).generation.must_rest():
                behind.add(job_of(row))
        if gone:
            decoder.remove(np.array(gone))
        if behind:
            self._rest(behind)

    def _note_first(self, now: float) -> None:
        decoder = self._decoder
        new = np.flatnonzero(~decoder.column("begun") & (decoder.written() > 0))
        for place in new.tolist():
            self._observer.first_character(now - job_of(decoder.rows[place]).submitted)
        decoder.column("begun")[new] = True

    def _retire(self, row: Row) -> None:
        self._show(row, end=True)
        self._over(row)

    def _show(self, row: Row, end: bool) -> None:
        part: Part | Reading = row.owner
        if isinstance(part, Reading) or row is not part.row:
            return
        chunk = part.take(end)
        if chunk is not None and part.streams:
            generation = part.job.generation
            generation.sends(chunk)
            self._calls.append((generation.push, chunk))

    @staticmethod
    def _is_over(row: Row) -> bool:
        """Whether its text has ended before it."""
        part: Part | Reading = row.owner
        return isinstance(part, Part) and row is part.row and part.ending is not None

    def _over(self, row: Row) -> None:
        """A row is done, or its text has ended before it. Its choice may need another, for the state there."""
        job = job_of(row)
        job.live -= 1
        following = row.owner.after(row, self._engine)
        if following is not None:
            job.live += 1
            self._outside.follow([following])
        elif not job.live:
            self._close(job, job.generation.finish, job.result(self._clock()))

    # Taking out.

    def _rest(self, jobs: Collection[Job]) -> None:
        at = [place for place, row in enumerate(self._decoder.rows) if job_of(row) in jobs]
        self._outside.rest(self._outside.take_out(jobs) + self._taken_out(np.array(at, np.intp)))

    def _take_out(self, jobs: Collection[Job]) -> None:
        self._outside.take_out(jobs)
        for job in jobs:
            if job in self._open:
                del self._open[job]
                job.close()
        places = [at for at, row in enumerate(self._decoder.rows) if job_of(row) in jobs]
        if places:
            self._decoder.remove(np.array(places))

    def _new_decoder(self) -> BatchDecoder:
        extra: dict[str, npt.DTypeLike] = {"flush_at": np.float64, "begun": np.bool_, "seated": np.float64}
        return BatchDecoder(self._engine, extra, self._clock, TURN_S)
