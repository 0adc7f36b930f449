from __future__ import annotations

import asyncio

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.scheduling.job import Job, job_of
from app.scheduling.jobs import GenerateJob
from app.scheduling.outside import LONG_S, QUANTUM_S, QUANTUM_TURNS, TURN_S, Outside
from app.scheduling.parts import Part
from app.scheduling.reply import Reply
from app.scheduling.requests import GenerateRequest
from model.decoding.row import Row
from tests.model.plain_engine import decode

LOOP = asyncio.new_event_loop()
LOOP.close()


def new_job(caller: str = "a", n: int = 1) -> Job:
    return GenerateJob(GenerateRequest(np.array([1]), 5, n=n, caller=caller), 0.0, Reply(LOOP))


def row_of(job: Job) -> Row:
    assert isinstance(job, GenerateJob)
    return Part(job, job.request, 0, decode).make_row(np.array([1]), None)


def rows_of(*callers: str) -> list[Row]:
    return [row_of(new_job(caller)) for caller in callers]


def test_newcomers_and_parked_rows_get_every_second_place_while_both_wait() -> None:
    outside = Outside()
    jobs, parked = [new_job() for _ in range(4)], rows_of("a", "a")
    for job in jobs:
        outside.put(job)
    outside.park(parked)
    assert [outside.next() for _ in range(7)] == [jobs[0], parked[0], jobs[1], parked[1], jobs[2], jobs[3], None]
    outside.park(parked)
    outside.put(jobs[0])
    assert [outside.next() for _ in range(4)] == [parked[0], jobs[0], parked[1], None]


def test_the_other_rows_of_a_request_come_before_what_else_its_caller_has() -> None:
    outside = Outside()
    one, two, other = new_job("a"), new_job("a"), new_job("b")
    for job in (one, two, other):
        outside.put(job)
    assert outside.next() is one
    rows = [row_of(one) for _ in range(3)]
    outside.follow(rows)
    assert [outside.next() for _ in range(6)] == [other, *rows, two, None]


@settings(max_examples=40)
@given(st.integers(0, 2**32 - 1))
def test_it_counts_and_keeps_whatever_is_put_in_until_it_is_taken_out(seed: int) -> None:
    rng = np.random.default_rng(seed)
    outside = Outside()
    fresh: list[Job] = []
    waiting: list[Row] = []
    resting: list[Row] = []
    jobs = [new_job(str(rng.integers(3)), int(rng.integers(1, 4))) for _ in range(5)]
    for _ in range(30):
        job = jobs[int(rng.integers(len(jobs)))]
        what = rng.integers(7)
        if what == 0 and job not in fresh:
            outside.put(job)
            fresh.append(job)
        elif what in (1, 2, 3):
            rows = [row_of(job) for _ in range(int(rng.integers(0, 3)))]
            (outside.follow, outside.park, outside.rest)[what - 1](rows)
            (resting if what == 3 else waiting).extend(rows)
        elif what == 4:
            outside.wake(job)
            waiting += [row for row in resting if job_of(row) is job]
            resting = [row for row in resting if job_of(row) is not job]
        elif what == 5:
            item = outside.next()
            if isinstance(item, Job):
                fresh.remove(item)
            elif item is None:
                assert not fresh
                assert not waiting
            else:
                waiting.remove(item)
        else:
            gone = set(jobs[: int(rng.integers(0, 3))])
            rows = outside.take_out(gone)
            assert set(map(id, rows)) == {id(row) for row in waiting + resting if job_of(row) in gone}
            fresh = [job for job in fresh if job not in gone]
            waiting, resting = ([row for row in rows if job_of(row) not in gone] for rows in (waiting, resting))
        assert len(outside) == sum(job.size for job in fresh) + len(waiting) + len(resting)
        assert bool(outside) == bool(fresh or waiting)
        assert sorted(map(id, outside.rows())) == sorted(map(id, waiting + resting))
        assert outside.unseen() == set(fresh)


def displaced(
    held: str, seated: list[float], now: float, newcomers: str = "", parked: str = "", free: int = 0
) -> list[int]:
    outside = Outside()
    for caller in newcomers:
        outside.put(new_job(caller))
    outside.park(rows_of(*parked))
    places = outside.who_makes_room(free, rows_of(*held), np.array(seated, np.float64), now)
    assert places.dtype == np.intp
    assert bool(outside) == bool(newcomers or parked)
    return [int(place) for place in places]


@pytest.mark.parametrize(
    ("newcomers", "parked", "free", "expected"),
    [
        ("", "", 0, []),
        ("b", "", 0, [2]),  # the longest seated
        ("b", "", 1, []),  # there is room
        ("bb", "", 1, [2]),
        ("bb", "", 0, [2, 0]),
        ("b", "b", 1, [2]),
        ("b", "b", 2, []),
        ("b", "bbb", 0, [2, 0]),  # the second place of two, though three are parked
        ("b", "bbb", 1, [2]),
        ("bb", "b", 2, [2]),
        ("bb", "b", 3, []),
        ("", "b", 0, []),  # for parked ones alone nobody has been here long enough
        ("b", "bbb", 2, []),
    ],
)
def test_who_has_had_a_place_for_a_quantum_makes_room(
    newcomers: str, parked: str, free: int, expected: list[int]
) -> None:
    now = QUANTUM_S
    assert displaced("aaaaa", [0, now / 2, -LONG_S / 2, now, -0.0], now, newcomers, parked, free) == expected


@pytest.mark.parametrize(
    ("newcomers", "parked", "free", "expected"),
    [
        ("", "b", 0, [2]),
        ("", "b", 1, []),
        ("", "bb", 1, [2]),
        ("b", "bbb", 2, [2, 0]),  # the newcomer has a free place, and the first parked one
        ("b", "bbb", 3, [2]),
        ("b", "bbb", 4, []),
    ],
)
def test_who_has_had_a_place_for_long_makes_room_for_parked_ones(
    newcomers: str, parked: str, free: int, expected: list[int]
) -> None:
    now = LONG_S
    assert displaced("aaaaa", [0, now / 2, -LONG_S / 2, now, 0.1], now, newcomers, parked, free) == expected


def test_nobody_makes_room_for_who_holds_as_much_unless_it_holds_it_itself() -> None:
    now = 10 * LONG_S
    assert displaced("aabb", [3, 2, 1, 0], now, "c") in ([1], [3])  # the longest seated of either
    assert displaced("ab", [1, 0], now, "a") == [0]
    assert displaced("ab", [now, 0], now, "a") == []
    assert displaced("aaab", [0, 1, 2, 3], now, "", "a") == [0]


def test_a_quantum_is_so_many_turns() -> None:
    assert pytest.approx(QUANTUM_TURNS * TURN_S) == QUANTUM_S
    assert QUANTUM_S < LONG_S
