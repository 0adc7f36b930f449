"""How fast this machine trains, measured by training for a moment. What is learned meanwhile is thrown away."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import fields
from typing import Any

from model.text.encoding import EncodedCorpus
from model.training.backend import Backend
from model.training.options import MAX_EPOCHS, TrainingOptions
from model.training.report.events import BatchDone
from model.training.trainer import Trainer

SECONDS = 0.2  # that are timed for each shape, at least one batch
# Nothing of a run but its updates is timed, and no rate can make it diverge.
_UPDATES_ALONE = {
    "learning_rate": 1e-9, "epochs": MAX_EPOCHS, "steps": None, "time_budget_s": None, "validation_fraction": 0.0,
    "patience": None, "pred_period": MAX_EPOCHS, "prefixes": (),
}  # fmt: skip


class Stopwatch:
    """Measures each shape of model and batch once, on the text that will be trained on."""

    def __init__(
        self,
        corpus: EncodedCorpus,
        seconds: float = SECONDS,
        clock: Callable[[], float] = time.perf_counter,
        backend: Callable[[], Backend | None] = lambda: None,
    ) -> None:
        """`backend` gives what computes; where it gives None the settings choose."""
        self._corpus, self._seconds, self._clock, self._backend = corpus, seconds, clock, backend
        self._measured: dict[TrainingOptions, float] = {}

    def __call__(self, settings: Mapping[str, Any]) -> float:
        """Characters per second. Raises what a Trainer raises for settings that are out of bounds."""
        known = {field.name for field in fields(TrainingOptions)}
        options = TrainingOptions(**{k: v for k, v in {**settings, **_UPDATES_ALONE}.items() if k in known})
        if options not in self._measured:
            self._measured[options] = self._measure(options)
        return self._measured[options]

    def _measure(self, options: TrainingOptions) -> float:
        trainer = Trainer(self._corpus, options, self._backend())
        updates, began, now = 0, 0.0, 0.0
        for event in trainer.events():
            if not isinstance(event, BatchDone):
                continue
            now = self._clock()
            if not updates:  # the first one compiles and takes memory
                began = now
            elif now - began >= self._seconds:
                break
            updates += 1
        return updates * options.batch_size * options.num_steps / max(now - began, 1e-9)


def seconds_per_epoch(num_training: int, chars_per_second: float) -> float:
    return num_training / chars_per_second


def words(settings: Mapping[str, Any], chars_per_second: float) -> str:
    """What was chosen and why, in one line."""
    size, rate = settings["hidden_dim"], _rounded(chars_per_second)
    return f"{size} hidden units: this machine reads {rate:,} characters/s with them"


def _rounded(number: float) -> int:
    """To two digits: it is no more exact than that."""
    return int(float(f"{number:.2g}"))
