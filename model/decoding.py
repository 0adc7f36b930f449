"""Decodes many rows at once: rows are admitted, advanced several steps in one engine call, and retired.

Synchronous, for one thread. `LanguageModel.generate` and the HTTP scheduler both decode through it. It knows nothing of
characters, requests, time limits or threads.

A row reads `forced` and then writes `num_chars` characters. Reading and writing are the same steps: step t reads
forced[t], or the character written last; from step len(forced) − 1 on, each step writes one. What a row writes depends
on the weights and the row alone, never on the other rows or on how the steps are cut into calls.

The state a row can be taken up from is the one *before* its last character was read, with that character `pending`: the
next row's `forced` begins with it. That costs one step and makes logits no part of a state.

Python's work per tick does not grow with the rows that neither begin, end nor are collected (rows that want
log-probabilities are collected every tick).

Longer than a page because the decoder is one state machine over one table of rows.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from model.columns import Columns
from model.engines.interface import CHOOSE, Engine, Floats, Indices, State
from model.measure import Measured, measure
from model.sampling_rows import choose

MAX_STEPS = 256  # in one engine call
BUFFER_CHARS = MAX_STEPS  # written characters a row holds before they are collected from it
TICK_S = 0.002  # about how long one call may take, so that rows can join, leave and be read
FIRST_GUESS_S = 0.0001  # of how long a step takes, until one was measured
ALL = np.iinfo(np.int64).max  # top_k of a row without one, and "never"

RowState = tuple[Floats, ...]  # one (S,) array per array of the engine's state


@dataclass(eq=False, slots=True)
class Row:
    """One continuation. The first part is given, the second filled in while it is decoded.

    forced: at least one index. num_chars: at least 1. position: of its first character in the random stream.
    state: what was read before `forced`, None for nothing. logprobs: how many alternatives to report, None for no
    log-probabilities at all. keep_state: give `state` and `pending` at the end. After `snapshot_at` forced characters
    `on_snapshot` is called with the state; 0 for never.
    """

    forced: Indices
    num_chars: int
    temperature: float = 0.0
    top_k: int = ALL
    top_p: float = 1.0
    seed: int = 0
    position: int = 0
    state: RowState | None = None
    logprobs: int | None = None
    keep_state: bool = False
    snapshot_at: int = 0
    on_snapshot: Callable[[RowState], None] | None = None
    owner: Any = None

    written: list[Indices] = field(default_factory=list)
    measured: list[Measured] = field(default_factory=list)
    pending: int = CHOOSE

    def text_indices(self) -> Indices:
        """All that was collected so far."""
        return np.concatenate(self.written) if self.written else np.zeros(0, np.int64)


class BatchDecoder:
    """`extra` columns belong to the caller: given with each row, kept in step with `rows`, read with `column`."""

    def __init__(self, engine: Engine, extra: dict[str, npt.DTypeLike] | None = None, tick_s: float = TICK_S) -> None:
        self._engine = engine
        self._tick_s = tick_s
        self.rows: list[Row] = []
        self.steps = 0  # of all ticks so far
        integers = ("offset", "forced_end", "done", "total", "last", "collected", "event", "top_k", "seed", "stream")
        types: dict[str, npt.DTypeLike] = {**dict.fromkeys(integers, np.int64), "temperature": np.float64}
        types |= {"top_p": np.float64, "wants_logits": np.bool_, "logprobs": np.int64}
        self._columns = Columns({**types, **(extra or {})})
        self._state: State = engine.start(0)
        self._arrivals: list[Row] = []
        self._pool = np.zeros(256, np.int64)  # the forced characters of all rows, one after the other
        self._pool_end = 0
        self._buffer = np.zeros((16, BUFFER_CHARS), np.int32)
        self._step_s: dict[int, float] = {}  # measured, by the size class of the batch

    def __len__(self) -> int:
        return len(self.rows)

    def column(self, name: str) -> npt.NDArray[Any]:
        return self._columns[name]

    def admit(self, row: Row, **extra: Any) -> None:
        assert len(row.forced) > 0, "a row reads at least one character"
        assert row.num_chars > 0, "a row writes at least one character"
        values = {
            "offset": self._place(row.forced),
            "forced_end": len(row.forced),
            "done": 0,
            "total": len(row.forced) + row.num_chars - 1,
            "last": 0,
            "collected": 0,
            "event": 0,
            "top_k": row.top_k,
            "seed": row.seed,
            "stream": row.position - (len(row.forced) - 1),
            "temperature": row.temperature,
            "top_p": row.top_p,
            "wants_logits": row.temperature > 0 or row.logprobs is not None,
            "logprobs": -1 if row.logprobs is None else row.logprobs,
        }
        values["event"] = row.snapshot_at if row.snapshot_at else values["total"] if row.keep_state else ALL
        self._columns.add({**values, **extra})
        self.rows.append(row)
        self._arrivals.append(row)
        if len(self.rows) > len(self._buffer):
            self._buffer = np.concatenate([self._buffer, np.zeros_like(self._buffer)])

    def remove(self, places: npt.NDArray[np.intp]) -> None:
        """Drops rows by their places in `rows`; nothing more is collected from them."""
        self._join()
        keep = np.ones(len(self.rows), np.bool_)
        keep[places] = False
        left = np.flatnonzero(keep)
        self._columns.keep(left)
        self._state = tuple(array[left] for array in self._state)
        self._buffer[: len(left)] = self._buffer[left]
        self.rows = [self.rows[place] for place in left.tolist()]
        if not self.rows:
            self._pool_end = 0

    def tick(self, max_steps: int = MAX_STEPS) -> npt.NDArray[np.intp]:
        """Advances all rows by one or more steps. Returns the places of the rows that are done.

        They stay in `rows`, collected, until `remove` is called for them. After an exception no row can go on.
        """
        self._join()
        c = self._columns
        begun = time.perf_counter()
        steps = self._steps(max_steps)
        forced = self._forced(steps)
        if c["wants_logits"].any():
            chosen = self._with_logits(forced)
        else:
            chosen, self._state = self._engine.advance(forced, c["last"], self._state)
        self._note_time((time.perf_counter() - begun) / steps)
        c["last"][:] = chosen[-1]
        self._store(chosen)
        c["done"][:] += steps
        self.steps += steps
        self._events()
        finished = np.flatnonzero(c["done"] >= c["total"])
        for place in finished.tolist():
            self.collect(place)
        return finished

    def unread(self) -> Indices:
        """How many characters each row has written that were not collected yet, (N,)."""
        unread: Indices = self.written() - self._columns["collected"]
        return unread

    def written(self) -> Indices:
        """How many characters each row has written, (N,)."""
        c = self._columns
        written: Indices = np.maximum(np.minimum(c["done"], c["total"]) - c["forced_end"] + 1, 0)
        return written

    def collect(self, place: int) -> None:
        """Moves what a row has written since the last time to `row.written`."""
        count = int(self.unread()[place])
        if count:
            self.rows[place].written.append(self._buffer[place, :count].astype(np.int64))
            self._columns["collected"][place] += count

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
        per_step = self._step_s.get(len(self.rows).bit_length(), FIRST_GUESS_S)
        to_event = int((c["event"] - c["done"]).min())
        to_end = int((c["total"] - c["done"]).max())
        return max(1, min(max_steps, MAX_STEPS, int(self._tick_s / per_step), to_event, to_end))

    def _note_time(self, seconds: float) -> None:
        size = len(self.rows).bit_length()
        self._step_s[size] = 0.8 * self._step_s.get(size, seconds) + 0.2 * seconds

    def _place(self, forced: Indices) -> int:
        """Copies forced characters into the pool; returns where. What is left by rows that are gone is cleared out
        when the pool is full, and the pool grows where that is not enough."""
        if self._pool_end + len(forced) > len(self._pool):
            c = self._columns
            live = [self._pool[start : start + end] for start, end in zip(c["offset"], c["forced_end"], strict=True)]
            needed = sum(map(len, live)) + len(forced)
            pool = np.zeros(max(len(self._pool), 2 * needed), np.int64)
            at = 0
            for place, part in enumerate(live):
                pool[at : at + len(part)] = part
                c["offset"][place] = at
                at += len(part)
            self._pool, self._pool_end = pool, at
        start = self._pool_end
        self._pool[start : start + len(forced)] = forced
        self._pool_end += len(forced)
        return start

    def _forced(self, steps: int) -> Indices:
        """The forced characters of the next steps, (K, N)."""
        c = self._columns
        left = c["forced_end"] - c["done"]
        if left.max() <= 0:
            return np.full((steps, len(left)), CHOOSE, np.int64)
        k = np.arange(steps)[:, None]
        places = np.minimum(c["offset"] + c["done"] + k, len(self._pool) - 1)
        return np.where(k < left, self._pool[places], CHOOSE)

    def _with_logits(self, forced: Indices) -> Indices:
        """Like `Engine.advance`, with each row's own way to choose, and measuring for those that want it."""
        c = self._columns
        chosen = np.empty_like(forced)
        first = c["forced_end"] - 1 - c["done"]  # the step that writes a row's first character; before it, it reads
        position = c["stream"] + c["done"]
        options = (first, c["temperature"], c["top_k"], c["top_p"], c["seed"], position)
        still_reading = int(first.max())  # steps
        measuring = np.flatnonzero(c["logprobs"] >= 0)
        alternatives = int(c["logprobs"][measuring].max()) if len(measuring) else 0
        found: list[Measured] = []
        last: Indices = c["last"]
        for step in range(len(forced)):
            ids = np.where(forced[step] == CHOOSE, last, forced[step]) if step <= still_reading else last
            logits, self._state = self._engine.step(ids, self._state)
            last = chosen[step]
            if not choose(logits, step, *options, last):
                raise FloatingPointError("the engine gave logits that are not finite")
            if len(measuring):
                found.append(measure(logits[measuring], last[measuring], alternatives))
        if len(measuring):
            self._hand_out(measuring, found)
        return chosen

    def _hand_out(self, measuring: npt.NDArray[np.intp], found: list[Measured]) -> None:
        c = self._columns
        together = [np.stack(parts) for parts in zip(*found, strict=True)]  # each (K, rows, …)
        for column, place in enumerate(measuring.tolist()):
            first = max(int(c["forced_end"][place]) - 1 - int(c["done"][place]), 0)
            end = int(c["total"][place]) - int(c["done"][place])
            own = Measured(*(part[first:end, column] for part in together))
            wanted = int(c["logprobs"][place])
            if len(own.logprobs):
                fewer = {name: getattr(own, name)[:, :wanted] for name in ("alternatives", "alternative_logprobs")}
                self.rows[place].measured.append(own._replace(**fewer))

    def _store(self, chosen: Indices) -> None:
        """What was written in these steps goes into the buffer, behind what is there."""
        c = self._columns
        steps = len(chosen)
        full = np.flatnonzero(self.unread() + steps > BUFFER_CHARS)
        for place in full.tolist():
            self.collect(place)
        t = c["done"][:, None] + np.arange(steps)
        number = t - (c["forced_end"] - 1)[:, None]  # of the character that step t writes
        rows, ks = np.nonzero((number >= 0) & (t < c["total"][:, None]))
        self._buffer[rows, number[rows, ks] - c["collected"][rows]] = chosen[ks, rows]

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
