"""What a run's figures say about its settings, in words."""

from __future__ import annotations

import math
from collections.abc import Collection

from model.training.optimisation.objective import even_loss
from model.training.options import TrainingOptions

RISES = 3  # validations in a row above the best that are called overfitting
QUOTED = 0.5  # share of the samples' windows from which on they are called quotations
LIKELY_RATES = {"adam": 0.01, "sgd": 0.2}  # a rate above is not suggested: the highest of any preset, by optimizer


def overfitting(options: TrainingOptions, best_epoch: int, rises: int) -> str | None:
    """After so many validations without a new best, once: RISES, or as many as end the run."""
    if rises != (options.patience or RISES):
        return None
    more = "raise --dropout-output" if options.dropout_output else "set --dropout-output 0.2"
    why = "the model learns the text by heart"
    if options.validation == "end":
        why += ", or its end is unlike the rest (--validation spread measures in several places)"
    return (
        f"validation has been worse than at epoch {best_epoch} for {rises} validations while training went on: "
        f"{why}. The best parameters are kept; {more}, lower --hidden-dim, "
        f"{'or bring more text' if options.patience else f'bring more text, or stop early with --patience {RISES}'}"
    )


def diverged(options: TrainingOptions, epoch: int, loss: float, vocab_size: int) -> str:
    """`loss` of a batch or of the validation text, in nats per character."""
    finite = f"{loss:.3g} nats per character, where guessing evenly has {even_loss(vocab_size):.3g}"
    rate = min(options.learning_rate / 4, LIKELY_RATES[options.optimizer])
    return (
        f"epoch {epoch}: training has diverged, the loss is {finite if math.isfinite(loss) else 'no longer finite'}; "
        f"try --learning-rate {rate:g} (it is {options.learning_rate:g})"
        f" or --clipping-theta {min(1.0, options.clipping_theta / 5):g} (it is {options.clipping_theta:g})"
    )


def quoting(memorised: float | None) -> str | None:
    """Where half of what the samples say is quoted. The sizes of model and text alone do not tell: with little of
    either, a run that ends early quotes nothing."""
    if memorised is None or memorised < QUOTED:
        return None
    return (
        f"{memorised:.0%} of the windows of these samples stand in the corpus: the model knows it by heart; "
        "raise --dropout-output, lower --hidden-dim or --epochs, or bring more text"
    )


def rate_rises(before: float, now: float, changed: Collection[str]) -> str | None:
    """Of a run that goes on, with options that were changed: where its learning rate is higher than it was."""
    if now <= before * 1.001:
        return None
    why = f"it falls over the run, whose {' and '.join(changed)} changed" if changed else "it was given anew"
    return f"the learning rate goes up from {before:.2g} to {now:.2g}: {why}"
