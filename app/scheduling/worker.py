"""The decode thread of one model: takes the mail, takes a turn, hands out what came of it, and outlives its errors.

Speaks to the event loop at most once per turn, by the way it is handed, and knows the time by the clock it is handed.
Knows nothing of rows, queues' limits or deadlines.
"""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Callable

import numpy as np

from app.refusals import StepFailed
from app.scheduling.batch import Batch, Call
from app.scheduling.inbox import Inbox, Mail
from app.scheduling.loop import Clock
from app.scheduling.observer import Observer
from model.decoding.decoder import BatchDecoder
from model.decoding.engine import Engine
from model.decoding.row import Row
from model.decoding.state_cache import StateCache

PROBE_S = 1.0  # how often a model that failed is tried again
CHECK_S = 60.0  # how often the books are looked at, where nothing else is to be done

log = logging.getLogger(__name__)


class Worker:
    """new_batch: an empty one. call_soon: to the event loop, from this thread; raises RuntimeError once it is closed.
    fail_all: called there when the thread ends, or nothing is known of what is open.

    `failures`: in a row. `last_step`, `turn_begun`: moments of the clock, of the last turn that went well and of the
    one that runs. All are written by the thread and read by anybody.
    """

    def __init__(
        self,
        engine: Engine,
        new_batch: Callable[[], Batch],
        inbox: Inbox,
        observer: Observer,
        clock: Clock,
        call_soon: Callable[..., object],
        fail_all: Callable[[StepFailed], None],
    ) -> None:
        self.failures = 0
        self.last_step: float | None = None
        self.turn_begun: float | None = None
        self.batch = new_batch()
        self._engine = engine
        self._new_batch = new_batch
        self._inbox = inbox
        self._observer = observer
        self._clock = clock
        self._call_soon = call_soon
        self._fail_all = fail_all
        self._check_at = clock() + CHECK_S
        self._ended = False
        self._thread = threading.Thread(target=self._run, name="decode", daemon=True)

    def start(self) -> None:
        self._thread.start()

    @property
    def thread_id(self) -> int | None:
        return self._thread.ident

    @property
    def alive(self) -> bool:
        return self._thread.is_alive() and not self._ended

    def _run(self) -> None:
        try:
            self._guarded(Mail())
            while self._next_turn():
                pass
        except BaseException:
            log.critical("the decode thread ends", exc_info=True)
        finally:
            self._ended = True  # before it is told: what comes from now on is refused
            self._tell(self._fail_all, StepFailed("the model's decode thread has ended"))

    def _next_turn(self) -> bool:
        """False once closed. Nothing of a turn is held while the next one is waited for."""
        idle = not self.batch.busy
        if idle:
            self._check()
        mail = self._inbox.take(wait=idle, wait_s=PROBE_S if self.failures else None)
        if mail is not None:
            self._guarded(mail)
        return mail is not None

    def _guarded(self, mail: Mail) -> None:
        """A turn. An error in it fails what it may have touched; one on the way to tell of it fails everything."""
        self.turn_begun = self._clock()
        try:
            try:
                calls = self._turn(mail)
            except Exception as error:
                self._recover(mail, error)
            else:
                self._hand_out(calls)
        except Exception:
            self._begin_anew()
        finally:
            self.turn_begun = None

    def _check(self) -> None:
        """What must be conserved is looked at now and then. Where it is not, that is said, who lost a row by it fails
        at once instead of waiting for its deadline, and the decoder and the cache begin anew."""
        now = self._clock()
        if now < self._check_at:
            return
        self._check_at = now + CHECK_S
        try:
            self.batch.check()
            self._inbox.check(self.batch.__contains__)
        except Exception as error:
            with contextlib.suppress(Exception):
                log.error("the books of the decode thread are wrong: %s", error, exc_info=error)
            try:
                self._hand_out(self.batch.fail())
            except Exception:
                self._begin_anew()

    def _begin_anew(self) -> None:
        self.batch = self._new_batch()
        self._tell(self._fail_all, StepFailed("the model failed while it was writing this"))

    def _turn(self, mail: Mail) -> list[Call]:
        batch = self.batch
        batch.leave(mail.left)
        batch.put(mail.new)
        batch.wake(mail.caught_up)
        calls: list[Call] = []
        steps = batch.steps
        if batch.busy:
            calls = batch.turn()
        elif not mail:  # nobody came for a while
            self._probe()
            steps = -1
        if batch.steps > steps:
            self.failures = 0
            self.last_step = self._clock()
        self._observer.queue(batch.waiting + len(self._inbox), batch.rows)
        return calls

    def _recover(self, mail: Mail, error: Exception) -> None:
        self.failures += 1
        calls = self.batch.fail()
        told = {call for call, _ in calls}
        lost = [job.generation for job in mail.new if job not in self.batch]
        why = "the model failed before it began with this"
        calls += [(reply.fail, StepFailed(why)) for reply in lost if not {reply.fail, reply.finish} & told]
        self._hand_out(calls)
        self.batch.leave(mail.left)
        self.batch.wake(mail.caught_up)
        self._observer.step_failed()
        with contextlib.suppress(Exception):  # words need memory, too
            log.error("a decoding step failed (%d in a row)", self.failures, exc_info=error)

    def _probe(self) -> None:
        """One step of a row of nobody's: proves the engine, and compiles what is compiled at first use."""
        decoder = BatchDecoder(self._engine)
        for row in (Row(np.zeros(1, np.int64), 1), Row(np.zeros(1, np.int64), 1, temperature=1.0, logprobs=1)):
            decoder.admit(row)
            decoder.remove(decoder.tick(1))
        StateCache(0).longest(np.zeros(1, np.int64))

    def _hand_out(self, calls: list[Call]) -> None:
        if calls:
            self._tell(_call_all, calls)

    def _tell(self, call: Callable[..., None], *what: object) -> None:
        try:
            self._call_soon(call, *what)
        except RuntimeError:  # the loop is closed: nobody is left to tell
            log.debug("an answer came after the event loop was closed")


def _call_all(calls: list[Call]) -> None:
    for call, what in calls:
        call(what)
