from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from model.training import speed
from tests.model.training.scripted import Scripted, corpus

SHAPE = {"hidden_dim": 2, "num_steps": 8, "batch_size": 4, "learning_rate": 1e6, "time_budget_s": 1.0, "vocab_size": 9}


class Slow(Scripted):
    """A backend whose batches move a clock on: the first by ten times as much."""

    def __init__(self, seconds: float) -> None:
        super().__init__()
        self.seconds, self.now = seconds, 100.0

    def gradients(self, *arguments: Any) -> Any:
        self.now += self.seconds * (1 if self.batches else 10)
        return super().gradients(*arguments)


@pytest.mark.parametrize(("seconds", "batches"), [(0.01, 21), (0.07, 4), (0.5, 2), (3.0, 2)])
def test_batches_behind_the_first_are_timed_for_a_moment(seconds: float, batches: int) -> None:
    backend = Slow(seconds)
    stopwatch = speed.Stopwatch(corpus(), 0.2, lambda: backend.now, lambda: backend)
    assert stopwatch(SHAPE) == pytest.approx(4 * 8 / seconds)
    assert abs(len(backend.batches) - batches) <= 1  # 20 times 0.01 s may be a little less than 0.2 s
    assert stopwatch(SHAPE) == pytest.approx(4 * 8 / seconds)
    assert abs(len(backend.batches) - batches) <= 1  # once for each shape
    assert not backend.measured  # nothing is validated


def test_each_shape_is_measured_with_the_batches_that_it_will_have() -> None:
    backends: list[Slow] = []

    def opened() -> Slow:
        backends.append(Slow(0.1))
        return backends[-1]

    stopwatch = speed.Stopwatch(corpus(), 0.2, lambda: backends[-1].now, opened)
    stopwatch({**SHAPE, "dropout_output": 0.5})
    stopwatch({**SHAPE, "hidden_dim": 3, "validation_fraction": 0.2, "steps": 1, "epochs": 1})
    small, large = backends
    assert len(small.weights) < len(large.weights)
    data, _, _, masks = small.batches[0]
    assert data.shape == (4, 8)
    assert masks.output is not None


def test_a_real_backend_is_measured_too() -> None:
    assert 0 < speed.Stopwatch(corpus(), 0.001)({**SHAPE, "cell": "lstm"}) < np.inf


def test_what_was_chosen_is_told_in_one_line_to_two_digits() -> None:
    words = speed.words({"hidden_dim": 384}, 213_456.0)
    assert words == "384 hidden units: this machine reads 210,000 characters/s with them"
    assert speed.seconds_per_epoch(1_000_000, 50_000.0) == 20.0
