"""A request on its way through the scheduler, as queues, places and readers know it. Its kinds are in `jobs`.

Lives on the decode thread. Knows nothing of queues, places, time limits or the event loop.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any

from app.scheduling.reply import Reply
from app.scheduling.requests import GenerateRequest, ScoreRequest
from model.arrays import Int64s
from model.decoding.engine import Engine
from model.decoding.row import Row
from model.decoding.state_cache import StateCache

Decode = Callable[[Int64s], str]
Follow = Callable[[Sequence[Row]], None]


class Job(ABC):
    """caller: whose turn it takes. size: continuations it counts as. read: characters given. bytes: of memory, at most.
    live: rows it has that are not over, in the decoder or out of it. submitted, admitted: moments by the scheduler's
    clock, the second once its first row has a place. timeout_s: from the first moment on, None for no limit.
    """

    def __init__(
        self,
        request: GenerateRequest | ScoreRequest,
        size: int,
        read: int,
        submitted: float,
        generation: Reply[Any],
    ) -> None:
        self.caller = request.caller
        self.bytes = request.answer_bytes
        self.timeout_s = request.timeout_s
        self.size = size
        self.read = read
        self.submitted = submitted
        self.admitted: float | None = None
        self.generation = generation
        self.live = 0

    @property
    def written(self) -> int:
        """Characters shown so far."""
        return 0

    @abstractmethod
    def begin(self, engine: Engine, cache: StateCache, decode: Decode, follow: Follow) -> tuple[list[Row], int | None]:
        """Its first rows, and how many characters of its prefix the cache spared: None where it was not asked.

        follow: called with the rows that can begin later.
        """

    @abstractmethod
    def outcome(self) -> str:
        """How it ended, once all its rows are over."""

    @abstractmethod
    def close(self) -> None:
        """Lets go of all that the answer does not need, at once: it may be a lot, and refers to itself."""

    @abstractmethod
    def result(self, now: float) -> Any:
        """The answer, once all its rows are over."""


def job_of(row: Row) -> Job:
    job: Job = row.owner.job
    return job
