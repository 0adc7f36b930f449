"""The two kinds of request: the rows that each begins with, and the answer made of them.

Lives on the decode thread. Knows nothing of queues, places, time limits or the event loop.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from app.scheduling.job import Decode, Follow, Job
from app.scheduling.parts import Part, Reading, pad
from app.scheduling.reply import Reply
from app.scheduling.requests import GenerateRequest, Result, ScoreRequest
from model.decoding.engine import Engine
from model.decoding.measure import Measured, empty, joined
from model.decoding.row import Row, RowState
from model.decoding.state_cache import StateCache


class GenerateJob(Job):
    def __init__(self, request: GenerateRequest, submitted: float, generation: Reply[Result]) -> None:
        super().__init__(request, request.n, len(request.prefix), submitted, generation)
        self.request = request
        self.parts: list[Part] = []
        self._written = 0
        self._outcome = "length"

    @property
    def written(self) -> int:
        return self._written + sum(part.shown for part in self.parts)

    def begin(self, engine: Engine, cache: StateCache, decode: Decode, follow: Follow) -> tuple[list[Row], int | None]:
        """Its choices share one reading: the first reads, the others join it before the prefix's last character."""
        request = self.request
        self.parts = [Part(self, request, index, decode) for index in range(request.n)]
        if request.state is not None:
            return self._fork(np.array([request.state.pending]), pad(engine, request.state)), None
        if request.first is not None:
            return [part.make_first_row(engine, request.first) for part in self.parts], None
        but_last, last = request.prefix[:-1], request.prefix[-1:]
        if not len(but_last):
            return self._fork(last, None), None
        cached, state = cache.longest(but_last)
        if cached == len(but_last):
            return self._fork(last, state), cached

        def read(state: RowState) -> None:
            cache.put(but_last, state)
            if others:
                follow([part.make_row(last, state) for part in others])

        reader, *others = self.parts
        row = reader.make_row(request.prefix[cached:], state)
        row.snapshot_at, row.on_snapshot = len(but_last) - cached, read
        return [row], cached

    def _fork(self, forced: Any, state: RowState | None) -> list[Row]:
        return [part.make_row(forced, state) for part in self.parts]

    def outcome(self) -> str:
        return self._outcome

    def close(self) -> None:
        parts, self.parts = self.parts, []
        for part in parts:
            self._written += part.shown
            part.row = None
        if parts:
            self._outcome = parts[0].ending or "length"

    def result(self, now: float) -> Result:
        assert self.admitted is not None
        return Result(
            tuple(part.choice() for part in self.parts),
            1000 * (self.admitted - self.submitted),
            1000 * (now - self.admitted),
            self.written,
        )


class ScoreJob(Job):
    def __init__(self, request: ScoreRequest, submitted: float, generation: Reply[Measured]) -> None:
        super().__init__(request, 1, len(request.indices), submitted, generation)
        self.request = request
        self._pieces: list[Measured] = []

    def begin(self, engine: Engine, cache: StateCache, decode: Decode, follow: Follow) -> tuple[list[Row], int | None]:
        indices, alternatives = self.request.indices, self.request.alternatives
        if len(indices) < 2:  # nothing to be scored: the first character has nothing before it
            self._pieces = [empty((0,), min(alternatives, engine.config.vocab_size))]
            return [], None
        row = Row(indices, 0, logprobs=alternatives, owner=Reading(self))
        self._pieces = row.measured
        return [row], None

    def outcome(self) -> str:
        return "score"

    def result(self, now: float) -> Measured:
        return joined(self._pieces)

    def close(self) -> None:
        self._pieces = []
