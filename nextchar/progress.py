"""How a training run looks on a terminal, and how Ctrl-C ends it. Knows nothing of options."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.text import Text

from model import checkpoint as checkpoints
from model.training import Trainer
from model.training.ending import reason_in_words
from model.training.report import events
from model.training.run import run
from nextchar.facts import tell
from nextchar.terminal import escaped

# What a person's text or folder is called, and what a model writes, is never markup.
console = Console(highlight=False, markup=False, emoji=False, soft_wrap=True)


def watch(trainer: Trainer, out: Path, tensorboard: bool, overwrite: bool) -> events.Finished:
    """Prints a run. The first Ctrl-C or SIGTERM ends it after the batch under way, saved; a second one kills."""
    previous: dict[int, Any] = {}

    def stop(number: int, _: object) -> None:
        trainer.request_stop()
        signal.signal(number, previous[number])

    for number in (signal.SIGINT, signal.SIGTERM):
        previous[number] = signal.signal(number, stop)
    columns = (BarColumn(30), TextColumn("{task.description}"), TimeElapsedColumn(), TimeRemainingColumn())
    try:
        with Progress(*columns, console=console, transient=True) as bar:
            task = bar.add_task("", total=1.0)
            for event in run(trainer, out, tensorboard, overwrite):
                if isinstance(event, events.BatchDone):
                    speed = f"{event.chars_per_second:,.0f} characters/s"
                    words = f"epoch {event.epoch} · perplexity {event.perplexity:.2f} · {speed}"
                    bar.update(task, completed=event.progress, description=words)
                else:
                    _print(event, trainer, out)
        assert isinstance(event, events.Finished)
        return event
    finally:
        for caught, handler in previous.items():
            signal.signal(caught, handler)


def _print(event: events.Event, trainer: Trainer, out: Path) -> None:
    if isinstance(event, events.Started):
        tell(console, trainer.corpus, event.training_chars, event.validation_chars)
        c = event.config
        console.print(
            f"{trainer.corpus.name}: {c.cell} {c.num_layers}×{c.hidden_dim}, {event.num_parameters:,} parameters, "
            f"{event.num_batches:,} batch{'' if event.num_batches == 1 else 'es'} per epoch, backend {event.backend}"
        )
    elif isinstance(event, events.EpochDone):
        period = trainer.options.pred_period
        if event.validation_perplexity is not None or event.epoch % period == 0 or event.epoch == 1:
            star = " *" if event.best and event.validation_perplexity is not None else ""
            held_out = f", validation {event.validation_perplexity:.3f}" if event.validation_perplexity else ""
            console.print(
                f"epoch {event.epoch}, perplexity {event.train_perplexity:.3f}{held_out}, "
                f"{event.epoch_seconds:.2f} s, {event.chars_per_second:,.0f} characters/s{star}"
            )
    elif isinstance(event, events.Sampled):
        written = escaped(event.text) if console.is_terminal else event.text
        share = "" if event.memorised is None else f" ({event.memorised:.0%} stands in the corpus)"
        console.print(Text.assemble(f" - {written}", (share, "dim")))
    elif isinstance(event, events.Advice):
        console.print(event.text, style="yellow")
    elif isinstance(event, events.Finished):
        why = reason_in_words(event.reason, trainer.options, trainer.position)
        epochs = f"{event.epoch:,} epoch{'' if event.epoch == 1 else 's'}"
        console.print(f"{why}: {epochs}, {event.seconds:.1f} s; {_left(event, trainer, out)}")


def _left(event: events.Finished, trainer: Trainer, out: Path) -> str:
    """What a run that is over left."""
    file = out / checkpoints.FILE_NAME
    if trainer.position.step == 0:
        return "nothing was trained, nothing is saved"
    if event.reason != "diverged":
        return f"saved {file}"
    if event.best_epoch:
        return f"saved {file} as it was after epoch {event.best_epoch}, the best before that"
    return "there was no state before it worth keeping, nothing is saved"
