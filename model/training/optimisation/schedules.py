"""The learning rate over a run, as a multiple of its highest value."""

from __future__ import annotations

from collections.abc import Callable

from model.training.options import TrainingOptions

# Each falls from 1 to 0 while its argument goes from 0 to 1.
FALLS: dict[str, Callable[[float], float]] = {
    "constant": lambda _: 1.0,
    "linear": lambda x: 1.0 - x,
}


def learning_rate(options: TrainingOptions, progress: float) -> float:
    """The rate when `progress` (0 … 1) of the run is over: level until `hold`, then a fall to the end."""
    progress = min(max(progress, 0.0), 1.0)
    start = options.hold
    fallen = (progress - start) / (1 - start) if progress > start else 0.0
    share = options.final_rate + (1 - options.final_rate) * FALLS[options.schedule](fallen)
    return options.learning_rate * share
