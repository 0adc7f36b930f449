"""Each line of each check is seen to fail: what is right passes, and one entry in the books that is wrong does not."""

from __future__ import annotations

import asyncio
import operator
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest

from app.scheduling.answer_budget import AnswerBudget
from app.scheduling.batch import Batch
from app.scheduling.inbox import Inbox
from app.scheduling.job import Job
from app.scheduling.jobs import GenerateJob
from app.scheduling.lines import Lines
from app.scheduling.observer import Observer
from app.scheduling.outside import QUANTUM_S
from app.scheduling.reply import Reply
from app.scheduling.requests import GenerateRequest
from app.scheduling.scheduler import Scheduler
from model.decoding.row import Row
from model.decoding.state_cache import StateCache
from model.text.vocabulary import Vocabulary
from tests.model.plain_engine import PlainEngine, decode

CLOSED = asyncio.new_event_loop()
CLOSED.close()


def new_job(**options: Any) -> GenerateJob:
    request = GenerateRequest(np.array([1, 2, 3]), **{"num_chars": 100, **options})
    return GenerateJob(request, 0.0, Reply(CLOSED))


class Busy:
    """A batch in which somebody decodes, somebody was parked, somebody waits and somebody rests."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("model.decoding.decoder.MAX_STEPS", 5)
        monkeypatch.setattr("app.scheduling.reply.UNREAD_BYTES", 300)
        self.now = 0.0
        self.batch: Any = Batch(PlainEngine(), decode, 2, StateCache(5000), Observer(), lambda: self.now)
        self.rests = self.put(stream=True, caller="a")
        while self.batch.busy:
            self.turn()
        self.parked = self.put(caller="b", n=2, logprobs=1)
        self.turn()
        self.now += QUANTUM_S
        self.decodes = self.put(caller="c", logprobs=0)
        self.turn()
        self.waits = [self.put(caller="d"), self.put(caller="d", n=3)]

    def put(self, **options: Any) -> Job:
        job = new_job(**options)
        self.batch.put([job])
        return job

    def turn(self) -> None:
        for call, what in self.batch.turn():
            call(what)
        self.now += 0.03

    @property
    def outside(self) -> Any:
        return self.batch._outside

    @property
    def decoder(self) -> Any:
        return self.batch._decoder

    def row_outside(self) -> Row:
        row: Row = next(iter(self.outside._parked))
        return row


def forget_a_row(busy: Busy) -> None:
    busy.outside._parked.remove(lambda _: True)
    busy.outside._waiting -= 1


def add(to: Any, **what: int) -> None:
    for name, by in what.items():
        setattr(to, name, getattr(to, name) + by)


BROKEN: list[tuple[str, Callable[[Busy], object]]] = [
    ("a row is in two places", lambda busy: busy.outside.park([busy.row_outside()])),
    ("2 rows have a place, and there are 1", lambda busy: setattr(busy.batch, "_max_rows", 1)),
    ("a row goes on behind its end", lambda busy: setattr(busy.row_outside().owner, "ending", "stop")),
    ("a row goes on though its request is over", lambda busy: busy.batch._open.pop(busy.parked)),
    ("lost a row, or has more", forget_a_row),
    ("lost a row, or has more", lambda busy: add(busy.decodes, live=1)),
    ("lost a row, or has more", lambda busy: busy.batch._open.update({new_job(): None})),
    ("lost a row, or has more", lambda busy: busy.batch._open.pop(busy.waits[0])),
    ("not handed out", lambda busy: busy.batch._calls.append((print, 1))),
    ("continuations are counted, and", lambda busy: add(busy.outside, _waiting=1)),
    ("rests without a row", lambda busy: busy.outside._resting.update({new_job(): []})),
    ("counted than wait in the lines", lambda busy: add(busy.outside._parked, _size=1)),
    ("counted than wait in the lines", lambda busy: add(busy.outside._newcomers, _size=1)),
    ("the table has rows that are not there", lambda busy: add(busy.decoder._columns, size=-1)),
    ("more is held than may be", lambda busy: add(busy.batch._cache, size=5000)),
]


@pytest.mark.parametrize(("says", "break_it"), BROKEN)
def test_a_batch_whose_books_are_wrong_says_what_is(
    monkeypatch: pytest.MonkeyPatch, says: str, break_it: Callable[[Busy], object]
) -> None:
    busy = Busy(monkeypatch)
    busy.batch.check()
    assert (busy.batch.rows, len(busy.outside._parked), len(busy.outside._resting)) == (2, 1, 1)
    break_it(busy)
    with pytest.raises(AssertionError, match=says):
        busy.batch.check()


def test_a_line_in_which_nobody_waits_is_none() -> None:
    lines: Any = Lines()
    lines.add("a", 1)
    lines.check()
    lines._lines["a"].clear()
    with pytest.raises(AssertionError, match="a line in which nobody waits"):
        lines.check()


def test_mail_that_contradicts_itself_is_found() -> None:
    broken: list[tuple[str, Callable[[Any, Job], object]]] = [
        ("in the mail though the thread has it", lambda inbox, one: inbox._new.update({one: None})),
        ("comes and leaves in the same mail", lambda inbox, _: inbox._left.append(next(iter(inbox._new)))),
        ("told something twice", lambda inbox, one: inbox._left.extend([one, one])),
        ("told something twice", lambda inbox, one: inbox._caught_up.extend([one, one])),
    ]
    for says, break_it in broken:
        inbox, seen = Inbox(), new_job()
        inbox.put(new_job())
        inbox.leave(seen)
        inbox.catch_up(new_job())
        inbox.check(partial(operator.is_, seen))
        inbox._left.clear()
        break_it(inbox, seen)
        with pytest.raises(AssertionError, match=says):
            inbox.check(partial(operator.is_, seen))


def test_a_scheduler_whose_counts_are_wrong_says_which(monkeypatch: pytest.MonkeyPatch) -> None:
    broken: list[tuple[str, Callable[[Any], object]]] = [
        (
            "counts as open though it is over",
            lambda s: next(iter(s._open)).generation.__setattr__("_error", ValueError()),
        ),
        ("time is not limited as it should be", lambda s: s._open.update(dict.fromkeys(s._open))),
        ("counted for a caller than it has open", lambda s: s._sizes.update({"a": 1})),
        ("counted for a caller than it has open", lambda s: s._sizes.update({"nobody": 0, "b": 1})),
        ("7 continuations are counted, and 6 are open", lambda s: add(s, _size=1)),
        ("told too early or never", lambda s: s._nothing_open.set()),
        ("an answer's memory is not counted", lambda s: s._budget.give(1)),
    ]

    async def use() -> None:
        for says, break_it in broken:
            loop = asyncio.get_running_loop()
            options: Any = {"max_queue": 20, "budget": AnswerBudget(10**9)}
            scheduler = Scheduler(PlainEngine(), Vocabulary("abcdefg"), loop, time.perf_counter, **options)
            monkeypatch.setattr(
                scheduler, "_refuse", lambda request, _, own=scheduler: own._budget.take(request.answer_bytes)
            )
            scheduler.check()
            for n, caller, timeout_s in ((1, "a", None), (2, "a", 60.0), (3, "b", 60.0)):
                scheduler.submit(GenerateRequest(np.array([1]), 5, n=n, caller=caller, timeout_s=timeout_s))
            scheduler.check()
            break_it(scheduler)
            with pytest.raises(AssertionError, match=says):
                scheduler.check()

    asyncio.run(use())
