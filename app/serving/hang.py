"""Ends the process when the decode thread of a model that serves hangs, so that whoever started it starts it again.

A thread that hangs in an engine or a driver can be neither ended nor replaced. `/readyz` says 503 by then, but Docker
starts no unhealthy container again. What other models are answering is lost with the process.

Time is counted in looks at the same turn, not taken from a clock: a process that was suspended finds its turn older by
one look, however long it was away. A model that is being loaded, whose first step compiles for as long as it takes, is
not looked at, nor one that was replaced, which nobody waits for any more. Once the service is stopping the server ends
it in time.
"""

from __future__ import annotations

import sys
import threading
import traceback
from collections.abc import Callable

import structlog

from app.serving.registry import Registry, Served

LOOK_S = 1.0
SAY_S = 2.0  # how long the log may take, whose lock or pipe may be what the thread hangs at

log = structlog.get_logger()


class HangWatch:
    """limit_s: how long a turn may take. end: ends the process. is_stopping: nothing is ended any more."""

    def __init__(
        self,
        registry: Registry,
        limit_s: float,
        end: Callable[[], object],
        is_stopping: Callable[[], bool] = lambda: False,
    ) -> None:
        self._registry = registry
        self._limit_s = limit_s
        self._end = end
        self._is_stopping = is_stopping
        self._look_s = min(LOOK_S, limit_s / 10)
        self._turns: dict[str, tuple[float, int]] = {}  # by model: the turn it is in, and looks that found that one
        self._thread = threading.Thread(target=self._run, name="hang watch", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def look(self) -> Served | None:
        """A model whose turn is the same as at every look for `limit_s`."""
        before, self._turns = self._turns, {}
        for served in self._registry.served():
            turn = served.scheduler.turn_begun
            if turn is None:
                continue
            last, looks = before.get(served.name, (turn, 0))
            looks = looks + 1 if turn == last else 1
            self._turns[served.name] = turn, looks
            if (looks - 1) * self._look_s >= self._limit_s:
                return served
        return None

    def _run(self) -> None:
        wait = threading.Event().wait
        while (served := self.look()) is None:
            wait(self._look_s)
            if self._is_stopping():
                return
        say = threading.Thread(target=self._say, args=(served,), daemon=True)
        say.start()
        say.join(SAY_S)
        self._end()

    def _say(self, served: Served) -> None:
        log.critical(
            "the decode thread hangs; the process ends, and what it was answering is lost",
            model=served.name,
            seconds=self._limit_s,
            stack=_stack(served.scheduler.thread_id),
        )


def _stack(thread_id: int | None) -> str:
    """Where a thread is, without what its variables hold."""
    frame = sys._current_frames().get(thread_id or 0)
    return "the thread is gone" if frame is None else "".join(traceback.format_stack(frame))
