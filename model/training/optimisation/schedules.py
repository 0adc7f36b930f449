"""The learning rate over a run, as a multiple of its highest value."""

from __future__ import annotations

import math
from collections.abc import Callable

from model.training.options import TrainingOptions

# Each falls from 1 to 0 while its argument goes from 0 to 1.
FALLS: dict[str, Callable[[float], float]] = {
    "constant": lambda _: 1.0,
    "linear": lambda x: 1.0 - x,
    "cosine": lambda x: 0.5 * (1.0 + math.cos(math.pi * x)),
}


def learning_rate(options: TrainingOptions, progress: float) -> float:
    """The rate when `progress` (0 … 1) of the run is over: a climb for `warmup`, then a fall that begins at `hold`."""
    progress = min(max(progress, 0.0), 1.0)
    if progress < options.warmup:
        return options.learning_rate * max(progress / options.warmup, 0.01)
    start = max(options.hold, options.warmup)
    fallen = (progress - start) / (1 - start) if progress > start else 0.0
    share = options.final_rate + (1 - options.final_rate) * FALLS[options.schedule](fallen)
    return options.learning_rate * share
