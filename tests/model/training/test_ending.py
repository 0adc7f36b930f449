from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.training import ending
from model.training.options import TrainingOptions
from model.training.position import Position


@given(
    epochs=st.integers(1, 50), steps=st.none() | st.integers(1, 500), budget=st.none() | st.integers(1, 500),
    num_batches=st.integers(1, 20), step=st.integers(0, 1000), seconds=st.integers(0, 1000),
)  # fmt: skip
def test_progress_is_that_of_the_nearest_end(
    epochs: int, steps: int | None, budget: int | None, num_batches: int, step: int, seconds: int
) -> None:
    options = TrainingOptions(epochs=epochs, steps=steps, time_budget_s=None if budget is None else float(budget))
    at = Position(epoch=step // num_batches, batch=step % num_batches, step=step, seconds=float(seconds))
    counted = [Fraction(step, epochs * num_batches)] + ([Fraction(step, steps)] if steps else [])
    timed = [Fraction(seconds, budget)] if budget else []
    assert ending.counted_progress(options, at, num_batches) == pytest.approx(float(min(Fraction(1), max(counted))))
    assert ending.progress(options, at, num_batches) == pytest.approx(float(min(Fraction(1), max(counted + timed))))
    within = (steps is not None and step >= steps) or (budget is not None and seconds >= budget)
    assert ending.ends_within_epoch(options, at) is within


@pytest.mark.parametrize(
    ("at", "reason"),
    [
        (Position(epoch=2, step=9, rises=1, seconds=9.0), None),
        (Position(epoch=3, step=10, rises=2, seconds=99.0), "epochs"),
        (Position(epoch=2, step=10, rises=2, seconds=99.0), "patience"),
        (Position(epoch=2, step=10, rises=1, seconds=99.0), "steps"),
        (Position(epoch=2, step=9, rises=1, seconds=99.0), "time"),
        (Position(epoch=2, step=9, rises=1, seconds=97.0), None),
        (Position(epoch=2, step=9, rises=1, seconds=97.0, eval_seconds=2.0), "time"),  # no room for one more validation
    ],
)
def test_what_ends_a_run_between_two_epochs(at: Position, reason: str | None) -> None:
    options = TrainingOptions(epochs=3, patience=2, steps=10, time_budget_s=99.0)
    assert ending.reason_to_end(options, at) == reason


def test_a_run_without_other_ends_goes_on_to_its_epochs() -> None:
    at = Position(epoch=199, rises=10**6, step=10**9, seconds=1e12)
    assert ending.reason_to_end(TrainingOptions(), at) is None
    assert not ending.ends_within_epoch(TrainingOptions(), at)


def test_an_epoch_is_cut_at_the_very_step() -> None:
    options = TrainingOptions(steps=10)
    assert [ending.ends_within_epoch(options, Position(step=step)) for step in (9, 10, 11)] == [False, True, True]
