from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from model.decoding.measure import Measured
from model.decoding.measured_rows import NO_SLOT, MeasuredRows

CHARS = 6


def values(rng: np.random.Generator, steps: int, rows: int, alternatives: int) -> Measured:
    shape, wide = (steps, rows), (steps, rows, alternatives)
    return Measured(
        rng.normal(size=shape),
        rng.integers(0, 99, shape).astype(np.int32),
        rng.normal(size=shape),
        rng.integers(0, 99, wide).astype(np.int32),
        rng.normal(size=wide),
    )


@settings(max_examples=30)
@given(st.integers(0, 2**32 - 1))
def test_each_row_gets_back_what_was_stored_for_it_whoever_comes_and_goes(seed: int) -> None:
    rng = np.random.default_rng(seed)
    table = MeasuredRows(CHARS)
    rows: dict[int, tuple[int, list[list[object]]]] = {}  # by slot: alternatives, and what is there of each character
    for _ in range(25):
        what = rng.integers(4)
        if what <= 1 or not rows:
            wanted = int(rng.integers(0, 4))
            slot = table.take(wanted)
            assert slot != NO_SLOT
            assert slot not in rows
            rows[slot] = (wanted, [])
        elif what == 2:
            slot = int(rng.choice(list(rows)))
            del rows[slot]
            table.give(slot)
        else:
            slots = rng.permutation(list(rows))[: int(rng.integers(1, len(rows) + 1))]
            steps = int(rng.integers(1, CHARS + 1))
            widest = max(alternatives for alternatives, _ in rows.values())
            found = values(rng, steps, len(slots), widest)
            begins = rng.integers(0, steps + 1, len(slots))  # the steps before are not valid
            at = np.zeros((steps, len(slots)), np.int64)
            valid = np.zeros((steps, len(slots)), np.bool_)
            for m, slot in enumerate(slots.tolist()):
                there = rows[slot][1]
                for k in range(steps):
                    at[k, m] = len(there) if k >= begins[m] else -1
                    valid[k, m] = k >= begins[m] and len(there) < CHARS
                    if valid[k, m]:
                        there.append([part[k, m].tolist() for part in found])
            table.store(slots, at, valid, found)
        for slot, (alternatives, there) in rows.items():
            collected = table.collect(slot, len(there), alternatives)
            assert all(part.base is None for part in collected)
            assert collected.alternatives.shape == (len(there), alternatives)
            for place, expected in enumerate(there):
                cut = [part[:alternatives] if isinstance(part, list) else part for part in expected]
                assert [part[place].tolist() for part in collected] == cut


def test_what_is_given_back_is_taken_again_before_more_is_made() -> None:
    table = MeasuredRows(CHARS)
    for _ in range(100):
        slots = [table.take(2) for _ in range(5)]
        assert len(set(slots)) == 5
        for slot in slots:
            table.give(slot)
    assert len(table._table.logprobs) <= 10
