from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from model.arrays import Int64s
from model.decoding.columns import Columns
from model.decoding.engine import CHOOSE
from model.decoding.forced import Forced

INTEGERS = ("offset", "forced_end", "done")


def next_by_hand(rows: list[tuple[Int64s, int]], steps: int) -> list[list[int]]:
    return [[int(f[done + k]) if done + k < len(f) else CHOOSE for f, done in rows] for k in range(steps)]


@settings(max_examples=40)
@given(st.integers(0, 2**32 - 1), st.sampled_from([5, 100, 400]))
def test_rows_read_their_own_characters_whoever_comes_and_goes(seed: int, longest: int) -> None:
    rng = np.random.default_rng(seed)
    forced, columns = Forced(), Columns(dict.fromkeys(INTEGERS, np.int64))
    rows: list[tuple[Int64s, int]] = []
    for _ in range(25):
        what = rng.integers(3)
        if what == 0 or not rows:
            own = rng.integers(0, 1000, int(rng.integers(1, longest)))
            done = int(rng.integers(0, 2 * len(own))) if rng.integers(2) else 0  # one that was parked
            columns.add({"offset": forced.place(own, done, columns), "forced_end": len(own), "done": done})
            rows.append((own, done))
        elif what == 1:
            kept = np.flatnonzero(rng.integers(0, 3, len(rows)))
            columns.keep(kept)
            rows = [rows[place] for place in kept]
            if not rows:
                forced.clear()
        else:
            steps = int(rng.integers(1, longest + 2))
            columns["done"][:] += steps
            rows = [(own, done + steps) for own, done in rows]
        if rows:
            steps = int(rng.integers(1, longest + 2))
            found = forced.next(columns, steps)
            assert found.dtype == np.int64
            assert found.tolist() == next_by_hand(rows, steps)


def test_the_room_of_what_was_read_is_used_again() -> None:
    forced, columns = Forced(), Columns(dict.fromkeys(INTEGERS, np.int64))
    own = np.arange(200)
    for _ in range(100):
        columns.add({"offset": forced.place(own, 0, columns), "forced_end": 200, "done": 0})
        columns["done"][:] += 200
    assert len(forced._pool) < 2000
    forced.clear()
    columns.keep(np.zeros(0, np.intp))
    for _ in range(100):
        forced.place(own, 0, columns)
        forced.clear()
    assert len(forced._pool) < 2000
