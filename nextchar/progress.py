"""How a training run looks on a terminal, and how signals end it. Knows nothing of options."""

from __future__ import annotations

import contextlib
import signal
import time
from collections.abc import Callable, Iterator
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
from nextchar.facts import duration, tell
from nextchar.terminal import Unfailing, escaped

# What a person's text or folder is called, and what a model writes, is never markup. No training ends because of it.
console = Console(file=Unfailing("stdout"), highlight=False, markup=False, emoji=False, soft_wrap=True)  # type: ignore[arg-type]
SAY_EVERY_S = 30.0  # where no bar shows how far a run is
SIGNALS = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))


def watch(
    trainer: Trainer,
    out: Path,
    tensorboard: bool,
    overwrite: bool,
    epoch_s: float | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> events.Finished:
    """Prints a run. The first signal ends it after the batch under way, saved; a second one kills.

    epoch_s: about how long a pass over the text takes, if that is known.
    """
    columns = (BarColumn(30), TextColumn("{task.description}"), TimeElapsedColumn(), TimeRemainingColumn())
    printer = _Printer(trainer, out, epoch_s, clock)
    with (
        _stopped_by_signals(trainer),
        Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar,
    ):
        task = bar.add_task("", total=1.0)
        for event in run(trainer, out, tensorboard, overwrite):
            if isinstance(event, events.BatchDone):
                bar.update(task, completed=event.progress, description=_words(event))
            printer.note(event)
    assert isinstance(event, events.Finished)
    return event


@contextlib.contextmanager
def _stopped_by_signals(trainer: Trainer) -> Iterator[None]:
    """SIGHUP that whoever started this ignores, as nohup does, stays ignored."""
    previous: dict[int, Any] = {}

    def stop(_number: int, _frame: object) -> None:
        trainer.request_stop()
        restore()

    def restore() -> None:
        for number, handler in previous.items():
            signal.signal(number, handler)

    for number in SIGNALS:
        if number == signal.SIGINT or signal.getsignal(number) != signal.SIG_IGN:
            previous[number] = signal.signal(number, stop)
    try:
        yield
    finally:
        restore()


class _Printer:
    """Prints events line by line: those of an epoch under its own line, and how far it is where there is no bar."""

    def __init__(self, trainer: Trainer, out: Path, epoch_s: float | None, clock: Callable[[], float]) -> None:
        self._trainer, self._out, self._epoch_s, self._clock = trainer, out, epoch_s, clock
        self._samples: list[events.Sampled] = []
        self._began = self._said = clock()
        self._progress: float | None = None  # when the first batch was done: a run that goes on begins within it

    def note(self, event: events.Event) -> None:
        if isinstance(event, events.BatchDone):
            self._note_batch(event)
        elif isinstance(event, events.Sampled):  # the samples of an epoch come before its figures
            self._samples.append(event)
        elif isinstance(event, events.EpochDone):
            self._note_epoch(event)
        else:
            _print(event, self._trainer, self._out, self._epoch_s)

    def _note_epoch(self, event: events.EpochDone) -> None:
        """Not every epoch has a line."""
        due = event.epoch == 1 or event.epoch % self._trainer.options.pred_period == 0
        if due or self._samples or event.validation_perplexity is not None:
            self._said = self._clock()
            _print_epoch(event)
        for sample in self._samples:
            _print_sample(sample)
        self._samples.clear()

    def _note_batch(self, event: events.BatchDone) -> None:
        now = self._clock()
        if self._progress is None:
            self._began, self._progress = now, event.progress
        if console.is_terminal or now - self._said < SAY_EVERY_S:
            return
        self._said, done = now, event.progress - self._progress
        left = f", about {duration((now - self._began) / done * (1 - event.progress))} left" if done > 0 else ""
        console.print(f"{event.progress:.0%} done: {_words(event)}{left}")


def _words(event: events.BatchDone) -> str:
    return f"epoch {event.epoch} · perplexity {event.perplexity:.2f} · {event.chars_per_second:,.0f} characters/s"


def _print(event: events.Event, trainer: Trainer, out: Path, epoch_s: float | None) -> None:
    if isinstance(event, events.Started):
        tell(console, trainer.corpus, event.training_chars, event.validation_chars, epoch_s)
        c, name = event.config, escaped(trainer.corpus.name)
        console.print(
            f"{name}: {c.cell} {c.num_layers}×{c.hidden_dim}, {event.num_parameters:,} parameters, "
            f"{event.num_batches:,} batch{'' if event.num_batches == 1 else 'es'} per epoch, backend {event.backend}"
        )
    elif isinstance(event, events.Advice):
        console.print(event.text, style="yellow")
    elif isinstance(event, events.Finished):
        why = reason_in_words(event.reason, trainer.options, trainer.position)
        epochs = f"{event.epoch:,} epoch{'' if event.epoch == 1 else 's'}"
        console.print(f"{why}: {epochs}, {event.seconds:.1f} s; {_left(event, trainer, out)}")


def _print_epoch(event: events.EpochDone) -> None:
    star = " *" if event.best and event.validation_perplexity is not None else ""
    held_out = f", validation {event.validation_perplexity:.3f}" if event.validation_perplexity else ""
    console.print(
        f"epoch {event.epoch}, perplexity {event.train_perplexity:.3f}{held_out}, "
        f"{event.epoch_seconds:.2f} s, {event.chars_per_second:,.0f} characters/s{star}"
    )


def _print_sample(sample: events.Sampled) -> None:
    """As samples.txt has it; line ends are kept, and what follows stands below what comes before."""
    written = sample.text.replace("\n", "\n   ")
    share = "" if sample.memorised is None else f" ({sample.memorised:.0%} stands in the corpus)"
    if console.is_terminal:
        console.print(Text.assemble(" - ", escaped(written), (share, "dim")))
    else:  # print leaves control characters out
        console.file.write(f" - {written}{share}\n")
        console.file.flush()


def _left(event: events.Finished, trainer: Trainer, out: Path) -> str:
    """What a run that is over left."""
    file = escaped(str(out / checkpoints.FILE_NAME))
    if trainer.position.step == 0:
        return "nothing was trained, nothing is saved"
    if event.reason != "diverged":
        return f"saved {file}"
    if event.best_epoch:
        return f"saved {file} as it was after epoch {event.best_epoch}, the best before that"
    return "there was no state before it worth keeping, nothing is saved"
