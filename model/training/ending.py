"""How much of a run is over, and what ends it: epochs, updates, seconds or patience, whichever comes first.

Knows nothing of how training is done. Only seconds depend on the machine; a run without them is repeatable.
"""

from __future__ import annotations

from model.training.options import TrainingOptions
from model.training.position import Position


def progress(options: TrainingOptions, at: Position, num_batches: int) -> float:
    """The share of the run that is over, 0 … 1, by whichever of its ends is the nearest."""
    by_time = at.seconds / options.time_budget_s if options.time_budget_s else 0.0
    return min(max(counted_progress(options, at, num_batches), by_time), 1.0)


def counted_progress(options: TrainingOptions, at: Position, num_batches: int) -> float:
    """The same without the clock. `num_batches` is per epoch."""
    by_steps = at.step / options.steps if options.steps else 0.0
    by_patience = at.stalled if options.patience else 0.0
    return min(max((at.epoch + at.batch / num_batches) / options.epochs, by_steps, by_patience), 1.0)


def stalled(options: TrainingOptions, at: Position) -> float:
    """What `Position.stalled` becomes after a validation. It never falls: a rate that fell does not rise again."""
    return max(at.stalled, at.rises / options.patience) if options.patience else at.stalled


def reason_to_end(options: TrainingOptions, at: Position) -> str | None:
    """Between two epochs: why none is to come, as Finished has it; None where one is."""
    if at.epoch >= options.epochs:
        return "epochs"
    if options.patience is not None and at.rises >= options.patience:
        return "patience"
    if options.steps is not None and at.step >= options.steps:
        return "steps"
    return "time" if time_is_up(options, at) else None


def reason_in_words(reason: str, options: TrainingOptions, at: Position) -> str:
    """Why a run ended, for people; `reason` is that of Finished."""
    return {
        "epochs": f"--epochs {options.epochs:,} {'is' if options.epochs == 1 else 'are'} done",
        "steps": f"--steps {options.steps or 0:,} {'is' if options.steps == 1 else 'are'} done",
        "time": f"the time budget of {options.time_budget_s or 0:g} s is used up",
        "patience": f"validation has not improved for {_counted(at.rises)} (since epoch {at.best_epoch:,})",
        "stopped": "stopped before its end",
        "diverged": f"training diverged in epoch {at.epoch + 1:,}",
    }[reason]


def _counted(validations: int) -> str:
    return f"{validations:,} validation{'' if validations == 1 else 's'}"


def ends_within_epoch(options: TrainingOptions, at: Position) -> bool:
    return (options.steps is not None and at.step >= options.steps) or time_is_up(options, at)


def time_is_up(options: TrainingOptions, at: Position) -> bool:
    """Room is left for one more validation and its samples, of the length of the last."""
    return options.time_budget_s is not None and at.seconds + at.eval_seconds >= options.time_budget_s
