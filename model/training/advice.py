"""What a run's figures say about its settings, in words."""

from __future__ import annotations

from model.training.options import TrainingOptions

RISES = 3  # validations in a row above the best that are called overfitting


def overfitting(options: TrainingOptions, best_epoch: int, rises: int) -> str | None:
    """After `rises` validations without a new best, once."""
    if rises != RISES:
        return None
    more = "raise --dropout-output" if options.dropout_output else "set --dropout-output 0.2"
    return (
        f"validation has been worse than at epoch {best_epoch} for {rises} validations while training goes on: "
        f"the model learns the text by heart. The best parameters are kept; {more}, lower --hidden-dim, "
        f"bring more text, or stop early with --patience {RISES}"
    )


def diverged(options: TrainingOptions, epoch: int) -> str:
    rate = options.learning_rate
    return (
        f"epoch {epoch}: the loss is no longer finite; try --learning-rate {rate / 4:g} (it is {rate:g})"
        f" or --clipping-theta {min(1.0, options.clipping_theta / 5):g} (it is {options.clipping_theta:g})"
    )


def size(num_parameters: int, training_chars: int) -> str | None:
    """Before training, where the model could hold the whole text several times over and nothing watches it."""
    if num_parameters < 20 * training_chars:
        return None
    return (
        f"the model has {num_parameters:,} parameters for {training_chars:,} characters and will learn them by heart; "
        "expect its samples to quote, or choose a smaller --hidden-dim"
    )
