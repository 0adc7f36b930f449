from __future__ import annotations

import math

import pytest

from model.training.options import TrainingOptions
from model.training.report.advice import QUOTED, RISES, diverged, overfitting, quoting


def test_overfitting_is_told_once_when_so_many_validations_were_worse() -> None:
    told = [rises for rises in range(20) if overfitting(TrainingOptions(), 7, rises) is not None]
    assert told == [RISES] == [3]
    text = overfitting(TrainingOptions(), 7, RISES) or ""
    assert "epoch 7 for 3 validations" in text
    assert "--patience 3" in text


def test_only_what_is_measured_in_several_places_is_by_heart_without_a_doubt() -> None:
    assert "its end is unlike the rest (--validation spread" in (
        overfitting(TrainingOptions(validation="end"), 7, 3) or ""
    )
    assert "unlike" not in (overfitting(TrainingOptions(), 7, 3) or "")


def test_where_patience_ends_the_run_overfitting_is_told_then_and_stopping_early_is_not_advised() -> None:
    options = TrainingOptions(patience=12)
    assert [rises for rises in range(20) if overfitting(options, 7, rises) is not None] == [12]
    assert "--patience" not in (overfitting(options, 7, 12) or "")


def test_dropout_is_set_where_there_is_none_and_raised_where_there_is() -> None:
    assert "set --dropout-output 0.2" in (overfitting(TrainingOptions(), 1, RISES) or "")
    assert "raise --dropout-output," in (overfitting(TrainingOptions(dropout_output=0.1), 1, RISES) or "")


@pytest.mark.parametrize(
    ("optimizer", "rate", "tried"),
    [("sgd", 1000.0, "0.2"), ("sgd", 0.2, "0.05"), ("adam", 1.0, "0.01"), ("adam", 0.008, "0.002")],
)
def test_a_lower_rate_is_tried_that_is_likely_for_the_optimizer(optimizer: str, rate: float, tried: str) -> None:
    text = diverged(TrainingOptions(optimizer=optimizer, learning_rate=rate), 4, math.nan, 10)
    assert "epoch 4: " in text
    assert f"--learning-rate {tried} (it is {rate:g})" in text


@pytest.mark.parametrize(("theta", "tried"), [(1e9, "1"), (5.0, "1"), (2.0, "0.4")])
def test_a_lower_bound_of_the_gradient_is_tried(theta: float, tried: str) -> None:
    text = diverged(TrainingOptions(clipping_theta=theta), 1, math.nan, 10)
    assert f"--clipping-theta {tried} (it is {theta:g})" in text


def test_the_loss_stands_beside_that_of_guessing_evenly_unless_it_is_no_number() -> None:
    text = diverged(TrainingOptions(), 1, 123.4, 20)
    assert "123 nats" in text
    assert f"evenly has {math.log(20):.3g}" in text
    for loss in (math.inf, math.nan):
        text = diverged(TrainingOptions(), 1, loss, 20)
        assert "no longer finite" in text
        assert "nats" not in text


def test_samples_are_called_quotations_from_half_on() -> None:
    assert QUOTED == 0.5
    assert [quoting(share) is None for share in (None, 0.0, 0.499, 0.5, 1.0)] == [True, True, True, False, False]
    assert "63% of the windows" in (quoting(0.63) or "")
