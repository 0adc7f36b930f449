"""A request on its way through the scheduler: its rows, what of their text was shown, and the answer made of them.

Lives on the decode thread. Knows nothing of queues, time limits or the event loop.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np

from app.generation import Choice, Chunk, Continuation, GenerateRequest, Generation, Result, ScoreRequest
from app.stops import StopWatcher
from model.decoding import ALL, Row, RowState
from model.engines.interface import Engine, Indices
from model.measure import Measured, joined, part_of
from model.sampling import MAX_SEED
from model.scoring import Scorer

Decode = Callable[[Indices], str]


@dataclass(eq=False, slots=True)
class Timing:
    """Moments of time.perf_counter. deadline: infinite for none."""

    submitted: float
    deadline: float
    admitted: float = 0.0


@dataclass(eq=False, slots=True)
class ScoreJob:
    request: ScoreRequest
    generation: Generation[Measured]
    timing: Timing
    scorer: Scorer | None = None
    places: int = 1


@dataclass(eq=False, slots=True)
class Job:
    """`places`: rows it holds or may still need; it falls to 0 as choices end."""

    request: GenerateRequest
    generation: Generation[Result]
    timing: Timing
    parts: list[Part] = field(default_factory=list)
    places: int = 0

    def result(self, now: float) -> Result:
        timing = self.timing
        return Result(
            tuple(part.choice() for part in self.parts),
            1000 * (timing.admitted - timing.submitted),
            1000 * (now - timing.admitted),
            len(self.request.prefix),
            self.written,
        )

    @property
    def written(self) -> int:
        return sum(part.shown for part in self.parts)


class Part:
    """One choice. `ending` is its finish reason once it has one."""

    __slots__ = ("_decode", "_read", "_texts", "ending", "index", "job", "row", "shown", "state", "watcher")

    def __init__(self, job: Job, index: int, decode: Decode) -> None:
        self.job = job
        self.index = index
        self.row: Row | None = None
        self.watcher = StopWatcher(job.request.stop) if job.request.stop else None
        self.shown = 0  # characters
        self.ending: str | None = None
        self.state: Continuation | None = None
        self._decode = decode
        self._texts: list[str] = []
        self._read = 0  # pieces of row.written

    def make_row(self, forced: Indices, state: RowState | None) -> Row:
        request, sampling = self.job.request, self.job.request.sampling
        self.row = Row(
            forced,
            request.num_chars,
            temperature=sampling.temperature,
            top_k=sampling.top_k or ALL,
            top_p=sampling.top_p,
            seed=self.seed or 0,
            position=request.state.position if request.state else 0,
            state=state,
            logprobs=request.logprobs,
            keep_state=request.return_state,
            owner=self,
        )
        return self.row

    @property
    def seed(self) -> int | None:
        sampling = self.job.request.sampling
        return None if sampling.greedy else ((sampling.seed or 0) + self.index) % (MAX_SEED + 1)

    def take(self, end: bool = False) -> Chunk | None:
        """What was collected from the row since the last time and may be shown. end: the row writes no more."""
        assert self.row is not None
        pieces = self.row.written[self._read :]
        self._read += len(pieces)
        text = self._decode(np.concatenate(pieces)) if pieces else ""
        if self.watcher is not None:
            text = self.watcher.feed(text) + (self.watcher.end() if end else "")
            if self.watcher.stopped:
                self.ending = "stop"
        if end and self.ending is None:
            self.ending = "length"
        if not text:
            return None
        self._texts.append(text)
        start, self.shown = self.shown, self.shown + len(text)
        measured = self._measured(start) if self.job.request.stream else None
        return Chunk(self.index, text, measured)

    def recovery(self, engine: Engine) -> Row | None:
        """A row that reads the text again up to where a stop string cut it, for the state there. None where that is
        known already."""
        assert self.row is not None
        request = self.job.request
        start = pad(engine, request.state) if request.state else None
        forced = np.array([request.state.pending]) if request.state else request.prefix
        text = np.concatenate([forced, self.row.text_indices()[: self.shown]])
        if len(text) == 1:
            self.keep_state(start or tuple(array[0] for array in engine.start(1)), int(text[0]), engine)
            return None

        def keep(state: RowState) -> None:
            self.keep_state(state, int(text[-1]), engine)

        return Row(text, 1, state=start, snapshot_at=len(text) - 1, on_snapshot=keep, owner=self)

    def keep_state(self, state: RowState, pending: int, engine: Engine) -> None:
        H = engine.config.hidden_dim
        begun = self.job.request.state.position if self.job.request.state else 0
        self.state = Continuation(tuple(array[:H].copy() for array in state), pending, begun + self.shown)

    def choice(self) -> Choice:
        assert self.ending is not None
        return Choice(self.index, "".join(self._texts), self.ending, self.seed, self._measured(0), self.state)

    def _measured(self, start: int) -> Measured | None:
        """Of the characters shown from `start` on."""
        if self.job.request.logprobs is None or self.row is None:
            return None
        if not self.row.measured:
            return None
        whole = joined(self.row.measured)
        self.row.measured[:] = [whole]
        return part_of(whole, start, self.shown)


def pad(engine: Engine, continuation: Continuation) -> RowState:
    """A continuation's arrays, filled up to the width the engine keeps."""
    names, H = engine.config.state_names, engine.config.hidden_dim
    assert [array.shape for array in continuation.arrays] == [(H,)] * len(names)
    filled = tuple(array[0] for array in engine.start(1))
    for array, own in zip(filled, continuation.arrays, strict=True):
        array[:H] = own
    return filled


def with_seed(request: GenerateRequest, seed: int) -> GenerateRequest:
    return replace(request, sampling=replace(request.sampling, seed=seed))
