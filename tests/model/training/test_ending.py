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


def test_patience_that_went_by_is_progress_and_never_comes_back() -> None:
    options, at = TrainingOptions(epochs=100, patience=4), Position(epoch=10, best_epoch=1)
    seen = []
    for rises in (0, 1, 2, 0, 1, 3):
        at.rises = rises
        at.stalled = ending.stalled(options, at)
        seen.append(ending.progress(options, at, 5))
    assert seen == [0.1, 0.25, 0.5, 0.5, 0.5, 0.75]
    assert ending.counted_progress(options, at, 5) == 0.75  # no clock has a say in it
    without = TrainingOptions(epochs=100)
    assert ending.stalled(without, Position(rises=50)) == 0.0
    assert ending.progress(without, at, 5) == 0.1


@pytest.mark.parametrize(
    ("reason", "words"),
    [
        ("epochs", "--epochs 16 are done"),
        ("steps", "--steps 1 is done"),
        ("time", "the time budget of 60 s is used up"),
        ("patience", "validation has not improved for 12 validations (since epoch 1,040)"),
        ("stopped", "stopped before its end"),
        ("diverged", "training diverged in epoch 2,001"),
    ],
)
def test_why_a_run_ended_is_told_in_words(reason: str, words: str) -> None:
    options = TrainingOptions(epochs=16, steps=1, time_budget_s=60.0, patience=12)
    assert ending.reason_in_words(reason, options, Position(epoch=2000, best_epoch=1040, rises=12)) == words


def test_a_run_without_other_ends_goes_on_to_its_epochs() -> None:
    at = Position(epoch=199, rises=10**6, step=10**9, seconds=1e12)
    assert ending.reason_to_end(TrainingOptions(), at) is None
    assert not ending.ends_within_epoch(TrainingOptions(), at)


def test_an_epoch_is_cut_at_the_very_step() -> None:
    options = TrainingOptions(steps=10)
    assert [ending.ends_within_epoch(options, Position(step=step)) for step in (9, 10, 11)] == [False, True, True]
