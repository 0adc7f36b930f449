"""What a row is for: one choice of a request, with what of its text was shown, or the reading of a score.

Lives on the decode thread. Knows nothing of places, of time or of the event loop.

Longer than a page because the text, its measures and the state to go on from must be cut at the same character.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

import numpy as np

from app.scheduling.job import Decode, Job
from app.scheduling.requests import Chunk, Continuation, GenerateRequest, Written
from model.arrays import Float32s, Int64s
from model.decoding.beginning import choose_first
from model.decoding.engine import Engine
from model.decoding.measure import Measured, joined, part_of
from model.decoding.row import ALL, Row, RowState
from model.sampling.options import MAX_SEED
from model.text.boundaries import CONTEXT_CHARS
from model.text.ending import EndWatcher

FLUSH_S = 0.020  # between two looks at what a row has written
NEVER = float("inf")

P = TypeVar("P")


class Pieces(Generic[P]):
    """Many small pieces, joined by the hundred: alone each would take more room than what is in it."""

    __slots__ = ("_join", "_joined", "_small")

    def __init__(self, join: Callable[[list[P]], P]) -> None:
        self._join = join
        self._joined: list[P] = []
        self._small: list[P] = []

    def add(self, piece: P) -> None:
        self._small.append(piece)
        if len(self._small) == 100:
            self._joined.append(self._join(self._small))
            self._small.clear()

    def whole(self) -> P | None:
        pieces = self._joined + self._small
        return self._join(pieces) if pieces else None


class Part:
    """`ending` is its finish reason once it has one."""

    __slots__ = (
        "_decode",
        "_held",
        "_indices",
        "_measured",
        "_request",
        "_texts",
        "ending",
        "index",
        "job",
        "row",
        "shown",
        "state",
        "watcher",
    )

    def __init__(self, job: Job, request: GenerateRequest, index: int, decode: Decode) -> None:
        self.job = job
        self._request = request
        self.index = index
        self.row: Row | None = None
        self.watcher: EndWatcher | None = None
        if request.stop or request.end is not None:
            before = request.prefix if request.state is None else np.array([request.state.pending])
            self.watcher = EndWatcher(request.num_chars, request.stop, request.end, decode(before[-CONTEXT_CHARS:]))
        self.shown = 0  # characters
        self.ending: str | None = None
        self.state: Continuation | None = None
        self._decode = decode
        self._texts: Pieces[str] = Pieces("".join)
        self._measured: Pieces[Measured] = Pieces(joined)
        self._held: list[Measured] = []  # of characters that may still be taken away
        self._indices: list[Int64s] = []  # kept where the state inside the text may be asked for

    def look_after_s(self, row: Row) -> float:
        """When what a row wrote is first looked at: a stream's at once, a text's that may end before its row now and
        then, any other's at its end."""
        if row is not self.row:
            return NEVER
        return 0.0 if self._request.stream else FLUSH_S if self.watcher is not None else NEVER

    def make_row(self, forced: Int64s, state: RowState | None) -> Row:
        request, sampling = self._request, self._request.sampling
        self.row = Row(
            forced,
            request.most_chars,
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

    def make_first_row(self, engine: Engine, first: Float32s) -> Row:
        """The row of a text that continues nothing: its first character is chosen from these logits. It may take no
        more step, and is over then."""
        row = self.make_row(np.zeros(0, np.int64), None)
        choose_first(row, first)
        if row.keep_state and not row.steps:
            row.state, row.pending = start_of(engine), int(row.forced[0])
        return row

    @property
    def streams(self) -> bool:
        return self._request.stream

    @property
    def seed(self) -> int | None:
        sampling = self._request.sampling
        return None if sampling.greedy else ((sampling.seed or 0) + self.index) % (MAX_SEED + 1)

    def take(self, end: bool = False) -> Chunk | None:
        """What was collected from the row since the last time and may be shown. end: the row writes no more."""
        assert self.row is not None
        written = self.row.text_indices()
        text = self._decode(written)
        if self.watcher is not None:
            if self._request.return_state:
                self._indices.append(written)
            text = self.watcher.feed(text, end)
            self.ending = self.watcher.ending
        elif end:
            self.ending = "length"
        measured = self._show_measured(len(text))
        self.row.written.clear()
        self.row.measured.clear()
        if not text:
            return None
        self._texts.add(text)
        self.shown += len(text)
        return Chunk(self.index, text, measured)

    def _show_measured(self, count: int) -> Measured | None:
        """Of the next `count` characters; the others' is kept."""
        assert self.row is not None
        pieces = [*self._held, *self.row.measured]
        if self._request.logprobs is None or not pieces:
            return None
        whole = joined(pieces)
        self._held = [part_of(whole, count, len(whole.logprobs))]
        if not count:
            return None
        shown = part_of(whole, 0, count)
        self._measured.add(shown)
        return shown

    def choice(self) -> Written:
        assert self.ending is not None
        measured = self._measured.whole()
        if measured is None and self._held:  # nothing was left of the text
            measured = part_of(self._held[0], 0, 0)
        return Written(self.index, self._texts.whole() or "", self.ending, self.seed, measured, self.state)

    # The state to go on from.

    def after(self, row: Row, engine: Engine) -> Row | None:
        """Once `row` is over: the row that this choice needs next, for its state."""
        if not self._request.return_state or self.state is not None:
            return None
        if self.ending != "length":
            return self._recovery(engine)
        assert row.state is not None
        self._keep_state(row.state, row.pending, engine)
        row.state = None
        return None

    def _recovery(self, engine: Engine) -> Row | None:
        """A row that reads the text again up to where it was cut, for the state there. None where that is
        known already."""
        request = self._request
        start = pad(engine, request.state) if request.state else None
        forced = np.array([request.state.pending]) if request.state else request.prefix
        text = np.concatenate([forced, np.concatenate(self._indices)[: self.shown]])
        self._indices.clear()
        if len(text) < 2:
            self._keep_state(start or start_of(engine), int(text[0]) if len(text) else None, engine)
            return None

        def keep(state: RowState) -> None:
            self._keep_state(state, int(text[-1]), engine)

        return Row(text, 1, state=start, snapshot_at=len(text) - 1, on_snapshot=keep, owner=self)

    def _keep_state(self, state: RowState, pending: int | None, engine: Engine) -> None:
        H = engine.config.hidden_dim
        begun = self._request.state.position if self._request.state else 0
        self.state = Continuation(tuple(array[:H].copy() for array in state), pending, begun + self.shown)


class Reading:
    """A score: its row writes nothing, and what was measured stays with the row."""

    __slots__ = ("job",)

    def __init__(self, job: Job) -> None:
        self.job = job

    def look_after_s(self, row: Row) -> float:
        return NEVER

    def after(self, row: Row, engine: Engine) -> Row | None:
        return None


def start_of(engine: Engine) -> RowState:
    """The state of a row that has read nothing."""
    return tuple(array[0] for array in engine.start(1))


def pad(engine: Engine, continuation: Continuation) -> RowState:
    """A continuation's arrays, filled up to the width the engine keeps."""
    names, H = engine.config.state_names, engine.config.hidden_dim
    assert [array.shape for array in continuation.arrays] == [(H,)] * len(names)
    filled = start_of(engine)
    for array, own in zip(filled, continuation.arrays, strict=True):
        array[:H] = own
    return filled
