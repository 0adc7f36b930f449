"""What a run will do, from a preset, a text and what was given, and in words what was measured and fitted for it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from model.text import held_out
from model.text.encoding import EncodedCorpus
from model.training import fitting, presets, speed
from model.training.options import TrainingOptions


@dataclass(frozen=True)
class Plan:
    """epoch_seconds: about how long a pass over the text takes here; None where nothing had to be measured."""

    options: TrainingOptions
    lines: tuple[str, ...] = ()
    epoch_seconds: float | None = None


def plan(
    preset: str, corpus: EncodedCorpus, given: Mapping[str, Any], stopwatch: speed.Stopwatch | None = None
) -> Plan:
    """Raises OptionError and CorpusError for what is out of bounds. Measuring, where it is needed, takes a second."""
    num_chars, measured, lines = len(corpus.indices), dict[str, float](), []
    stopwatch = stopwatch or speed.Stopwatch(corpus)

    def measure(settings: Mapping[str, Any]) -> float:
        measured[settings["hidden_dim"]] = stopwatch(settings)
        return measured[settings["hidden_dim"]]

    chosen = presets.settings(preset, num_chars, len(corpus.vocabulary), given, measure)
    if presets.unwatched(num_chars, chosen, given):
        lines.append(
            f"{num_chars:,} characters are too few to hold some out: {chosen['steps']:,} updates, and no validation"
        )
    options = TrainingOptions(**chosen)
    num_training = held_out.split(corpus, options.validation_fraction, options.validation).training_chars
    fits = fitting.fitted(chosen, given, num_training, preset in presets.PRESETS_WITH_EVEN_BATCHES)
    if told := fitting.words(num_chars, num_training, chosen, fits):
        lines.append(told)
    if not measured:
        return Plan(TrainingOptions(**fits), tuple(lines))
    rate = measured.get(chosen["hidden_dim"]) or stopwatch(chosen)
    lines.append(speed.words(chosen, rate))
    return Plan(TrainingOptions(**fits), tuple(lines), speed.seconds_per_epoch(num_training, rate))
