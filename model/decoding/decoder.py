"""Decodes many rows at once: rows are admitted, advanced several steps in one engine call, and retired.

Synchronous, for one thread. `LanguageModel.generate` and the HTTP scheduler both decode through it. It knows nothing of
characters, requests, time limits or threads, and no clock but the one it is handed.

A row reads `forced` and then writes `num_chars` characters. Reading and writing are the same steps: step t reads
forced[t], or the character written last; from step len(forced) − 1 on, each step writes one. A row that writes nothing
is a score: each of its characters but the first is measured. What comes out of a row depends on the weights and the row
alone, never on the other rows, on how the steps are cut into calls, or on when the row was parked.

The state a row can be taken up from is the one *before* its last character was read, with that character `pending`: the
next row's `forced` begins with it. That costs one step and makes logits no part of a state.

Python's work per tick does not grow with the rows that neither begin, end nor are collected.

Longer than a page because the decoder is one state machine over one table of rows.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from model.arrays import Int64s, Int64s2D, Places, State, Untyped
from model.decoding.columns import Columns
from model.decoding.engine import CHOOSE, Engine
from model.decoding.forced import Forced
from model.decoding.measure import Measured, empty, measure_rows
from model.decoding.measured_rows import NO_SLOT, MeasuredRows
from model.decoding.row import ALL, Row
from model.sampling.rows import choose

MAX_STEPS = 256  # in one engine call
BUFFER_CHARS = MAX_STEPS  # written characters a row holds before they are collected from it
TICK_S = 0.002  # about how long one call may take, so that rows can join, leave and be read
FIRST_GUESS_S = 0.0001  # of how long a step takes, until one was measured


class BatchDecoder:
    """`extra` columns belong to the caller: given with each row, kept in step with `rows`, read with `column`.

    clock: seconds; None where a call may take as many steps as there are. tick_s: about how long it takes by the clock.
    """

    def __init__(
        self,
        engine: Engine,
        extra: dict[str, npt.DTypeLike] | None = None,
        clock: Callable[[], float] | None = None,
        tick_s: float = TICK_S,
    ) -> None:
        self._engine = engine
        self._clock = clock
        self._tick_s = tick_s
        self.rows: list[Row] = []
        self.steps = 0  # of all ticks so far
        # first: the step that gives a row's first character. slot: where its measured values go.
        integers = ("offset", "forced_end", "first", "done", "total", "last", "collected", "event", "slot")
        options = ("top_k", "seed", "stream", "logprobs")
        types: dict[str, npt.DTypeLike] = dict.fromkeys(integers + options, np.int64)
        types |= {"temperature": np.float64, "top_p": np.float64, "wants_logits": np.bool_}
        self._columns = Columns({**types, **(extra or {})})
        self._state: State = engine.start(0)
        self._arrivals: list[Row] = []
        self._forced = Forced()
        self._buffer = np.zeros((16, BUFFER_CHARS), np.int32)
        self._measured = MeasuredRows(BUFFER_CHARS)
        self._step_s: dict[int, float] = {}  # measured, by the size class of the batch

    def __len__(self) -> int:
        return len(self.rows)

    def column(self, name: str) -> Untyped:
        return self._columns[name]

    def admit(self, row: Row, **extra: Any) -> None:
        """A row that is new, or that was parked and goes on where it was."""
        assert len(row.forced) > 0, "a row reads at least one character"
        assert row.num_chars > 0 or (len(row.forced) > 1 and row.logprobs is not None), "a row writes or is a score"
        total = row.steps
        first = len(row.forced) - 1 if row.num_chars else 0
        values = {
            "offset": self._forced.place(row.forced, row.done, self._columns),
            "forced_end": len(row.forced),
            "first": first,
            "done": row.done,
            "total": total,
            "last": row.last,
            "collected": max(row.done - first, 0),
            "event": row.snapshot_at if row.done < row.snapshot_at else total if row.keep_state else ALL,
            "top_k": row.top_k,
            "seed": row.seed,
            "stream": row.position - (len(row.forced) - 1),
            "temperature": row.temperature,
            "top_p": row.top_p,
            "wants_logits": row.temperature > 0 or row.logprobs is not None,
            "logprobs": -1 if row.logprobs is None else row.logprobs,
            "slot": NO_SLOT if row.logprobs is None else self._measured.take(self._alternatives(row.logprobs)),
        }
        self._columns.add({**values, **extra})
        self.rows.append(row)
        self._arrivals.append(row)
        if len(self.rows) > len(self._buffer):
            self._buffer = np.concatenate([self._buffer, np.zeros_like(self._buffer)])

    def park(self, places: Places) -> list[Row]:
        """Takes rows out that are not done, collected, each with all that `admit` needs to go on with it later."""
        self._join()
        for place in places.tolist():
            self.collect(place)
            row = self.rows[place]
            row.done, row.last = int(self._columns["done"][place]), int(self._columns["last"][place])
            row.state = tuple(array[place].copy() for array in self._state)
        parked = [self.rows[place] for place in places.tolist()]
        self.remove(places)
        return parked

    def remove(self, places: Places) -> None:
        """Drops rows by their places in `rows`; nothing more is collected from them."""
        self._join()
        keep = np.ones(len(self.rows), np.bool_)
        keep[places] = False
        slots = self._columns["slot"][~keep]
        for slot in slots[slots != NO_SLOT].tolist():
            self._measured.give(slot)
        left = np.flatnonzero(keep)
        self._columns.keep(left)
        self._state = tuple(array[left] for array in self._state)
        self._buffer[: len(left)] = self._buffer[left]
        self.rows = [self.rows[place] for place in left.tolist()]
        if not self.rows:
            self._forced.clear()

    def tick(self, max_steps: int = MAX_STEPS) -> Places:
        """Advances all rows by one or more steps. Returns the places of the rows that are done.

        They stay in `rows`, collected, until `remove` is called for them. After an exception no row can go on.
        """
        self._join()
        c = self._columns
        begun = 0.0 if self._clock is None else self._clock()
        steps = self._steps(max_steps)
        forced = self._forced.next(c, steps + 1)  # what is read at a step was measured at the one before
        measuring = np.flatnonzero(c["logprobs"] >= 0)
        found: Measured | None = None
        if c["wants_logits"].any():
            found = empty((steps, len(measuring)), self._alternatives(c["logprobs"].max())) if len(measuring) else None
            chosen = self._with_logits(forced, measuring, found)
        else:
            chosen, self._state = self._engine.advance(forced[:-1], c["last"], self._state)
        if self._clock is not None:
            self._note_time((self._clock() - begun) / steps)
        c["last"][:] = chosen[-1]
        self._store(chosen, measuring, found)
        c["done"][:] += steps
        self.steps += steps
        self._events()
        finished = np.flatnonzero(c["done"] >= c["total"])
        for place in finished.tolist():
            self.collect(place)
        return finished

    def unread(self) -> Int64s:
        """How many characters each row has written, or scored, that were not collected yet, (N,)."""
        unread: Int64s = self.written() - self._columns["collected"]
        return unread

    def written(self) -> Int64s:
        """How many characters each row has written, or scored, (N,)."""
        c = self._columns
        written: Int64s = np.maximum(np.minimum(c["done"], c["total"]) - c["first"], 0)
        return written

    def collect(self, place: int) -> None:
        """Moves what a row has written and measured since the last time to `row.written` and `row.measured`."""
        c, row = self._columns, self.rows[place]
        count = int(min(c["done"][place], c["total"][place]) - c["first"][place] - c["collected"][place])
        if count <= 0:
            return
        if row.num_chars:
            row.written.append(self._buffer[place, :count].copy())
        if row.logprobs is not None:
            slot = int(c["slot"][place])
            row.measured.append(self._measured.collect(slot, count, self._alternatives(row.logprobs)))
        c["collected"][place] += count

    def check(self) -> None:
        """That whatever is kept of rows is of these rows, between two calls. Raises AssertionError."""
        before = len(self.rows) - len(self._arrivals)
        assert self.rows[before:] == self._arrivals, "a row that came is not the last one"
        assert self._columns.size == len(self.rows), "the table has rows that are not there"
        assert {len(array) for array in self._state} == {before}, "states of rows that are not there"
        assert (self.unread() <= BUFFER_CHARS).all(), "more is unread than there is room for"
        slots = self._columns["slot"]
        self._measured.check(slots[slots != NO_SLOT].tolist())
        self._forced.check(self._columns)

    def _join(self) -> None:
        """The states of rows admitted since the last tick, behind those of the others."""
        if not self._arrivals:
            return
        fresh = self._engine.start(len(self._arrivals))
        for place, row in enumerate(self._arrivals):
            if row.state is not None:
                for array, own in zip(fresh, row.state, strict=True):
                    array[place] = own
                row.state = None
        joined = zip(self._state, fresh, strict=True)
        self._state = tuple(np.concatenate([old, new]) for old, new in joined) if len(self._state[0]) else fresh
        self._arrivals.clear()

    def _steps(self, max_steps: int) -> int:
        """As many as fit the time, but none beyond the next event or beyond what the longest row needs.

        A row whose end is not an event may be carried past it; what it writes there is never looked at.
        """
        c = self._columns
        to_event = int((c["event"] - c["done"]).min())
        to_end = int((c["total"] - c["done"]).max())
        return max(1, min(max_steps, MAX_STEPS, self._in_time(), to_event, to_end))

    def _in_time(self) -> int:
        """So many steps take about tick_s."""
        if self._clock is None:
            return MAX_STEPS
        per_step = self._step_s.get(len(self.rows).bit_length(), FIRST_GUESS_S)
        return min(MAX_STEPS, int(self._tick_s / per_step)) if per_step > 0 else MAX_STEPS

    def _note_time(self, seconds: float) -> None:
        size = len(self.rows).bit_length()
        self._step_s[size] = 0.8 * self._step_s.get(size, seconds) + 0.2 * seconds

    def _alternatives(self, wanted: int) -> int:
        return min(int(wanted), self._engine.config.vocab_size)

    def _with_logits(self, forced: Int64s2D, measuring: Places, found: Measured | None) -> Int64s2D:
        """Like `Engine.advance`, with each row's own way to choose; fills `found` for the rows that are measured.

        forced: (K + 1, N). Returns chosen (K, N).
        """
        c = self._columns
        chosen = np.empty_like(forced[:-1])
        # The step that writes a row's first character; before it, it reads.
        first: Int64s = c["forced_end"] - 1 - c["done"]
        position: Int64s = np.add(c["stream"], c["done"])
        options = (first, c["temperature"], c["top_k"], c["top_p"], c["seed"], position)
        still_reading = int(first.max())  # steps
        begins = (c["first"] - c["done"])[measuring]
        last: Int64s = c["last"]
        for step in range(len(chosen)):
            ids = np.where(forced[step] == CHOOSE, last, forced[step]) if step <= still_reading else last
            logits, self._state = self._engine.step(ids, self._state)
            last = chosen[step]
            if not choose(logits, step, *options, last):
                raise FloatingPointError("the engine gave logits that are not finite")
            if found is not None:
                own, following = last[measuring], forced[step + 1, measuring]
                following = np.where(following == CHOOSE, own, following)
                of_step = Measured(*(part[step] for part in found))
                if not measure_rows(logits, measuring, step, begins, following, of_step):
                    raise FloatingPointError("the engine gave logits that are not finite")
        return chosen

    def _store(self, chosen: Int64s2D, measuring: Places, found: Measured | None) -> None:
        """What was written and measured in these steps goes into the buffers, behind what is there."""
        c = self._columns
        steps = len(chosen)
        full = np.flatnonzero(self.unread() + steps > BUFFER_CHARS)
        for place in full.tolist():
            self.collect(place)
        t = c["done"] + np.arange(steps)[:, None]  # (K, N)
        at = t - c["first"]  # of the character that step t gives
        valid = (at >= 0) & (t < c["total"])
        at -= c["collected"]
        ks, rows = np.nonzero(valid)
        self._buffer[rows, at[ks, rows]] = chosen[ks, rows]
        if found is not None:
            self._measured.store(c["slot"][measuring], at[:, measuring], valid[:, measuring], found)

    def _events(self) -> None:
        c = self._columns
        for place in np.flatnonzero(c["done"] == c["event"]).tolist():
            row = self.rows[place]
            state = tuple(array[place].copy() for array in self._state)
            done = int(c["done"][place])
            if done == row.snapshot_at and row.on_snapshot is not None:
                row.on_snapshot(state)
            c["event"][place] = c["total"][place] if row.keep_state else ALL
            if row.keep_state and done == c["total"][place]:
                row.state, row.pending = state, int(c["last"][place])
