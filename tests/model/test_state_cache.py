from __future__ import annotations

import numpy as np

from model.state_cache import StateCache


def state(value: float) -> tuple[np.ndarray, ...]:
    return (np.full(8, value, np.float32),)


def ids(*values: int) -> np.ndarray:
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
    assert (cache.hits, cache.misses) == (2, 1)


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
