from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model.arrays import Int64s, State
from model.decoding.state_cache import StateCache


def state(value: float) -> State:
    return (np.full(8, value, np.float32),)


def ids(*values: int) -> Int64s:
    return np.array(values, np.int64)


def test_the_longest_beginning_is_found_first() -> None:
    cache = StateCache(100_000)
    cache.put(ids(1), state(1))
    cache.put(ids(1, 2, 3), state(3))
    cache.put(ids(1, 2), state(2))
    cache.put(ids(1, 2, 3, 4, 5), state(5))
    length, found = cache.longest(ids(1, 2, 3, 4))
    assert length == 3
    assert found is not None
    assert found[0][0] == 3
    assert cache.longest(ids(1, 9))[0] == 1
    assert cache.longest(ids(2, 2)) == (0, None)


def test_it_never_holds_more_bytes_than_it_may_and_drops_what_was_not_used_longest() -> None:
    cache = StateCache(0)
    cache.put(ids(1), state(1))
    assert len(cache) == 0
    cache = StateCache(1500)  # three of these entries
    for value in (1, 2, 3):
        cache.put(ids(value), state(value))
    cache.longest(ids(1))
    cache.put(ids(4), state(4))
    assert cache.size <= 1500
    assert [cache.longest(ids(value))[0] for value in (1, 2, 3, 4)] == [1, 0, 1, 1]


def test_of_several_of_one_length_those_that_stay_are_found_when_one_goes() -> None:
    cache = StateCache(1500)  # three of these entries
    for value in (1, 2, 3):
        cache.put(ids(value), state(value))
    cache.put(ids(9, 9), state(9))
    assert [cache.longest(ids(value))[0] for value in (1, 2, 3)] == [0, 1, 1]
    for value in (8, 7, 6):
        cache.put(ids(9, value), state(9))
    assert [cache.longest(ids(value))[0] for value in (1, 2, 3)] == [0, 0, 0]
    assert cache._lengths == {2: 3}, "no length is looked for that nothing has"


def test_putting_the_same_again_takes_no_more_room() -> None:
    cache = StateCache(10_000)
    cache.put(ids(1, 2), state(1))
    size = cache.size
    cache.put(ids(1, 2), state(1))
    assert (cache.size, len(cache)) == (size, 1)


def test_cleared_it_is_empty() -> None:
    cache = StateCache(10_000)
    cache.put(ids(1, 2), state(1))
    cache.clear()
    assert (cache.size, len(cache), cache.longest(ids(1, 2))) == (0, 0, (0, None))


def test_what_was_put_in_does_not_change_with_the_callers_array() -> None:
    cache = StateCache(10_000)
    own = ids(1, 2)
    cache.put(own, state(1))
    own[0] = 9
    assert cache.longest(ids(1, 2))[0] == 2


def test_what_just_fits_is_kept_and_nothing_is_kept_of_nothing() -> None:
    cache = StateCache(10_000)
    cache.put(ids(), state(1))
    assert (len(cache), cache.size) == (0, 0)
    cache.put(ids(1), state(1))
    size = cache.size
    assert size > state(1)[0].nbytes + ids(1).nbytes
    cache.put(ids(2, 3), state(1) * 3)  # one index and two arrays more
    assert cache.size == 2 * size + ids(3).nbytes + 2 * state(1)[0].nbytes
    for capacity, kept in ((size - 1, 0), (size, 1), (2 * size - 1, 1), (2 * size, 2)):
        cache = StateCache(capacity)
        for value in (1, 2):
            cache.put(ids(value), state(value))
        assert (len(cache), cache.size, cache.capacity) == (kept, kept * size, capacity)


@settings(max_examples=40)
@given(
    st.lists(st.tuples(st.booleans(), st.lists(st.integers(0, 2), min_size=1, max_size=5).map(tuple)), max_size=40),
    st.booleans(),
)
def test_it_answers_as_a_list_of_what_was_used_last_would(
    asked: list[tuple[bool, tuple[int, ...]]], meet: bool
) -> None:
    one = StateCache(10_000)
    one.put(ids(1), state(1))
    room = 4 * one.size + 100
    with pytest.MonkeyPatch.context() as patch:
        if meet:  # all hashes, as any two can
            patch.setattr(
                "model.decoding.state_cache._prefix_hashes", lambda indices: np.zeros(len(indices), np.uint64)
            )
        cache = StateCache(room)
        used: list[tuple[tuple[int, ...], int]] = []  # with what its state says; the last used last
        for number, (put, indices) in enumerate(asked):
            if put:
                cache.put(ids(*indices), state(number))
                same = [entry for entry in used if len(entry[0]) == len(indices)] if meet else []
                used = [entry for entry in used if entry[0] != indices and entry not in same] + [(indices, number)]
                while sum(one.size + 8 * (len(key) - 1) for key, _ in used) > room:
                    used.pop(0)
            else:
                length, found = cache.longest(ids(*indices))
                fits = [entry for entry in used if indices[: len(entry[0])] == entry[0]]
                if fits:
                    best = max(fits, key=lambda entry: len(entry[0]))
                    assert found is not None
                    assert (length, found[0][0]) == (len(best[0]), best[1])
                    used.remove(best)
                    used.append(best)
                else:
                    assert (length, found) == (0, None)
            assert len(cache) == len(used)
            assert cache.size == sum(one.size + 8 * (len(key) - 1) for key, _ in used)


def test_beginnings_that_differ_in_one_character_or_in_order_have_hashes_of_their_own() -> None:
    cache = StateCache(1 << 20)
    several = [(a, b, c) for a in range(6) for b in range(6) for c in range(6)]
    for number, indices in enumerate(several):
        cache.put(ids(*indices), state(number))
    assert len(cache) == len(several)


def test_a_cache_whose_counts_are_wrong_says_which() -> None:
    broken: list[tuple[str, bool, Any]] = [
        ("1 bytes are counted, and", True, lambda cache: setattr(cache, "size", 1)),
        ("counted of nothing, or entries not at all", False, lambda cache: setattr(cache, "size", 0)),
        ("more is held than may be", False, lambda cache: setattr(cache, "capacity", cache.size - 1)),
        ("more or fewer lengths are counted", False, lambda cache: cache._lengths.update({1: 1})),
        ("lengths that no entry has", True, lambda cache: cache._lengths.update({1: 1, 2: -1})),
    ]
    for says, each, break_it in broken:
        cache = StateCache(10_000)
        for indices in (ids(1), ids(2), ids(1, 2)):
            cache.put(indices, state(1))
        cache.check(each=True)
        break_it(cache)
        with pytest.raises(AssertionError, match=says):
            cache.check(each)
