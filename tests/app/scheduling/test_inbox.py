from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable

import numpy as np
import pytest

from app.scheduling.inbox import Inbox, Mail
from app.scheduling.job import Job
from app.scheduling.jobs import GenerateJob, ScoreJob
from app.scheduling.reply import Reply
from app.scheduling.requests import GenerateRequest, ScoreRequest

LOOP = asyncio.new_event_loop()
LOOP.close()


def job() -> Job:
    return ScoreJob(ScoreRequest(np.arange(3)), 0.0, Reply(LOOP))


def test_mail_comes_once_in_the_order_it_was_put() -> None:
    inbox, jobs = Inbox(), [job() for _ in range(4)]
    for one in jobs[:3]:
        inbox.put(one)
    inbox.catch_up(jobs[3])
    assert len(inbox) == 3
    assert inbox.take(wait=True) == Mail(jobs[:3], [], jobs[3:])
    assert inbox.take(wait=False) == Mail()


def test_who_leaves_before_it_was_seen_never_is_and_who_leaves_later_is_told_of() -> None:
    inbox, unseen, seen = Inbox(), job(), job()
    inbox.put(seen)
    assert inbox.take(wait=True) == Mail([seen])
    inbox.put(unseen)
    inbox.leave(unseen)
    inbox.leave(seen)
    assert inbox.take(wait=True) == Mail([], [seen])


def test_closing_ends_the_wait() -> None:
    inbox, taken = Inbox(), []
    thread = threading.Thread(target=lambda: taken.append(inbox.take(wait=True)))
    thread.start()
    inbox.close()
    thread.join(10)
    assert taken == [None]
    inbox.put(job())
    assert inbox.take(wait=True) is None


def test_a_wait_with_a_limit_ends_with_nothing() -> None:
    assert not Inbox().take(wait=True, wait_s=0.001)


def test_what_waits_is_counted_in_continuations() -> None:
    inbox = Inbox()
    inbox.put(GenerateJob(GenerateRequest(np.arange(3), 5, n=4), 0.0, Reply(LOOP)))
    inbox.put(job())
    assert len(inbox) == 5


@pytest.mark.parametrize("call", [Inbox.put, Inbox.leave, Inbox.catch_up])
def test_whatever_comes_ends_the_wait_and_what_is_there_is_not_waited_for(call: Callable[[Inbox, Job], None]) -> None:
    inbox, taken, one = Inbox(), list[Mail | None](), job()
    thread = threading.Thread(target=lambda: taken.append(inbox.take(wait=True, wait_s=20)))
    thread.start()
    while not inbox._changed._waiters:  # type: ignore[attr-defined]
        time.sleep(0)
    call(inbox, one)
    thread.join(10)
    assert len(taken) == 1
    assert taken[0]
    call(inbox, one)
    assert inbox.take(wait=True, wait_s=20) == taken[0]
    assert inbox.take(wait=False) == Mail()
