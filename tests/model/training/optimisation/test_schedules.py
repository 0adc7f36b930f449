from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.training import TrainingOptions
from model.training.optimisation.schedules import FALLS, learning_rate

SHARES = st.floats(0, 1)


def rate(progress: float, **options: Any) -> float:
    return learning_rate(TrainingOptions(**options), progress)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, {0: 0.2, 0.5: 0.2, 1: 0.2}),
        ({"schedule": "linear", "learning_rate": 8.0}, {0: 8, 0.25: 6, 0.5: 4, 1: 0}),
        ({"schedule": "linear", "learning_rate": 8.0, "hold": 0.5}, {0: 8, 0.5: 8, 0.75: 4, 1: 0}),
        (
            {"schedule": "linear", "learning_rate": 10.0, "hold": 0.6, "final_rate": 0.1},
            {0: 10, 0.6: 10, 0.8: 5.5, 1: 1},
        ),
        ({"schedule": "linear", "learning_rate": 2.0, "final_rate": 1.0}, {0: 2, 0.5: 2, 1: 2}),
        ({"schedule": "linear", "learning_rate": 2.0, "hold": 0.5, "final_rate": 0.5}, {0.5: 2, 0.75: 1.5, 1: 1}),
        ({"learning_rate": 4.0, "hold": 0.5, "final_rate": 0.1}, {0: 4, 0.5: 4, 0.75: 4, 1: 4}),
        ({"schedule": "linear", "learning_rate": 4.0, "hold": 1.0}, {0.99: 4, 1: 4}),
    ],
)
def test_the_rate_at_places_computed_by_hand(options: dict[str, Any], expected: dict[float, float]) -> None:
    assert {at: rate(at, **options) for at in expected} == pytest.approx(expected)


@given(st.sampled_from(sorted(FALLS)), SHARES, SHARES, SHARES)
def test_the_rate_is_level_or_the_line_between_its_two_values(
    schedule: str, hold: float, final: float, progress: float
) -> None:
    found = rate(progress, schedule=schedule, hold=hold, final_rate=final, learning_rate=3.0)
    if schedule == "constant" or progress <= hold:
        expected = 3.0
    else:
        fallen = (progress - hold) / (1 - hold)
        expected = 3.0 * (1 - fallen + final * fallen)
    assert found == pytest.approx(expected, abs=1e-9)


def test_outside_the_run_the_rate_is_that_of_its_ends() -> None:
    options = {"schedule": "linear", "learning_rate": 2.0, "final_rate": 0.25}
    assert rate(-1, **options) == rate(0, **options) == 2.0
    assert rate(7, **options) == rate(1, **options) == 0.5
