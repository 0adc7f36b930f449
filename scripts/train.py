"""Trains a model on a text and saves it: `python scripts/train.py --corpus my.txt --out checkpoints/mine`."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Annotated, Any, TypeAlias

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from model import checkpoint as checkpoints
from model.corpus import TextRules
from model.encoding import open_corpus
from model.errors import CheckpointError, NextcharError, OptionError
from model.training import PRESETS, PRESETS_THAT_KEEP_CASE, Trainer, TrainingOptions, events
from model.training.run import resume as take_up
from model.training.run import run
from scripts.terminal import escaped

console = Console(highlight=False, soft_wrap=True)
# None: what the preset says.
Real: TypeAlias = float | None
Whole: TypeAlias = int | None
Name: TypeAlias = str | None
Switch: TypeAlias = bool | None


def train(
    out: Annotated[Path, typer.Option(help="Folder of the model; its name is the model's name.")],
    corpus: Annotated[str, typer.Option(help="A text file, a zip of one, or an embedded corpus.")] = "lyrics",
    encoding: Annotated[str, typer.Option(help="Of the text file.")] = "utf-8",
    max_chars: Annotated[Whole, typer.Option(help="Use only the first so many characters.")] = None,
    keep_newlines: Annotated[bool, typer.Option(help="Line ends stay; else they become spaces.")] = False,
    keep_case: Annotated[Switch, typer.Option(help="Capitals stay; else the text is lower-cased.")] = None,
    preset: Annotated[str, typer.Option(help=f"Settings to start from: {', '.join(PRESETS)}.")] = "quick",
    cell: Annotated[Name, typer.Option(help="rnn, gru or lstm.")] = None,
    num_layers: Annotated[Whole, typer.Option(help="Layers, 1 to 4.")] = None,
    hidden_dim: Annotated[Whole, typer.Option(help="Hidden units per layer.")] = None,
    initialisation: Annotated[Name, typer.Option(help="normal (the chapter's), uniform or scaled.")] = None,
    num_steps: Annotated[Whole, typer.Option(help="Characters the gradient reaches back.")] = None,
    batch_size: Annotated[Whole, typer.Option(help="Rows per batch.")] = None,
    sampling: Annotated[Name, typer.Option(help="random or consecutive.")] = None,
    carry_state: Annotated[Switch, typer.Option(help="With random sampling, zero the state per epoch only.")] = None,
    state_reset: Annotated[Real, typer.Option(help="Share of rows whose carried state is zeroed per batch.")] = None,
    epochs: Annotated[Whole, typer.Option(help="Ends training.")] = None,
    time_budget: Annotated[Real, typer.Option(help="Seconds; ends training, and the schedule runs over it.")] = None,
    loss_reduction: Annotated[Name, typer.Option(help="Gradient of the sum or the mean over a batch.")] = None,
    optimizer: Annotated[Name, typer.Option(help="sgd or adam.")] = None,
    learning_rate: Annotated[Real, typer.Option(help="The highest learning rate.")] = None,
    schedule: Annotated[Name, typer.Option(help="constant, linear or cosine.")] = None,
    warmup: Annotated[Real, typer.Option(help="Share of the run in which the rate climbs.")] = None,
    hold: Annotated[Real, typer.Option(help="Share of the run after which the rate falls.")] = None,
    final_rate: Annotated[Real, typer.Option(help="Where the rate ends, as a multiple of its highest.")] = None,
    clipping_theta: Annotated[Real, typer.Option(help="Largest global norm of the gradient.")] = None,
    weight_decay: Annotated[Real, typer.Option(help="Of the matrices, per step and learning rate.")] = None,
    averaging: Annotated[Real, typer.Option(help="Decay of the moving average of weights to keep; 0 is off.")] = None,
    dropout_input: Annotated[Real, typer.Option(help="Share of characters hidden.")] = None,
    dropout_layers: Annotated[Real, typer.Option(help="Share of units hidden between layers.")] = None,
    dropout_output: Annotated[Real, typer.Option(help="Share of units hidden from the output layer.")] = None,
    dropout_recurrent: Annotated[Real, typer.Option(help="Share of recurrent weights hidden.")] = None,
    validation_fraction: Annotated[Real, typer.Option(help="The end of the text kept out of training.")] = None,
    eval_every: Annotated[Whole, typer.Option(help="Epochs between validations.")] = None,
    patience: Annotated[Whole, typer.Option(help="Validations without a new best that end training.")] = None,
    prefix: Annotated[list[str] | None, typer.Option(help="Begin samples with this; may be repeated.")] = None,
    pred_len: Annotated[Whole, typer.Option(help="Characters written after each prefix.")] = None,
    pred_period: Annotated[Whole, typer.Option(help="Epochs between samples.")] = None,
    save_every: Annotated[Real, typer.Option(help="Seconds between saves; 0 saves after every batch.")] = None,
    seed: Annotated[Whole, typer.Option(help="The same seed, machine and settings give the same parameters.")] = None,
    device: Annotated[Name, typer.Option(help="auto, cpu or gpu.")] = None,
    backend: Annotated[Name, typer.Option(help="auto, mxnet or numpy.")] = None,
    precision: Annotated[Name, typer.Option(help="Of products: float32, bfloat16 or auto.")] = None,
    tensorboard: Annotated[bool, typer.Option(help="Also write TensorBoard events.")] = False,
    resume: Annotated[bool, typer.Option(help="Go on with the run in --out, from where it was last saved.")] = False,
    if_missing: Annotated[bool, typer.Option(help="Do nothing where --out already holds a model.")] = False,
) -> None:
    """Trains a character-level recurrent language model on a text and saves it under --out."""
    given = {
        "cell": cell, "num_layers": num_layers, "hidden_dim": hidden_dim, "initialisation": initialisation,
        "num_steps": num_steps, "batch_size": batch_size, "sampling": sampling, "carry_state": carry_state,
        "state_reset": state_reset, "epochs": epochs, "time_budget_s": time_budget,
        "loss_reduction": loss_reduction, "optimizer": optimizer,
        "learning_rate": learning_rate, "schedule": schedule, "warmup": warmup, "hold": hold,
        "final_rate": final_rate, "clipping_theta": clipping_theta, "weight_decay": weight_decay,
        "averaging": averaging, "dropout_input": dropout_input, "dropout_layers": dropout_layers,
        "dropout_output": dropout_output, "dropout_recurrent": dropout_recurrent, "precision": precision,
        "validation_fraction": validation_fraction, "eval_every": eval_every,
        "patience": patience, "prefixes": tuple(prefix) if prefix else None, "pred_len": pred_len,
        "pred_period": pred_period, "save_every_s": save_every, "seed": seed, "device": device, "backend": backend,
    }  # fmt: skip
    try:
        if if_missing and _verifies(out):
            return
        if keep_case is None:
            keep_case = preset in PRESETS_THAT_KEEP_CASE
        rules = TextRules(lowercase=not keep_case, newlines="keep" if keep_newlines else "space")
        encoded = open_corpus(corpus, rules, encoding, max_chars, out)
        if preset not in PRESETS:
            raise OptionError("preset", f"{preset!r} is not one of {', '.join(PRESETS)}")
        settings = PRESETS[preset](len(encoded.indices), len(encoded.vocabulary), time_budget)
        options = TrainingOptions(**{**settings, **{k: v for k, v in given.items() if v is not None}})
        trainer = Trainer(encoded, options)
        if resume:
            take_up(trainer, out)
        _watch(trainer, out, tensorboard)
    except NextcharError as error:
        console.print(f"[red]{_plain(str(error))}[/red]")
        raise typer.Exit(1) from None


def _verifies(out: Path) -> bool:
    """Whether a model stands under `out`; one that is damaged is an error, not overwritten unasked."""
    if not checkpoints.checkpoint_path(out).exists():
        return False
    try:
        digest = checkpoints.load(out).digest
    except CheckpointError as error:
        console.print(f"[yellow]{_plain(str(error))}; training it anew[/yellow]")
        return False
    console.print(f"{out} holds a model already (digest {digest[:12]}); nothing to do")
    return True


def _watch(trainer: Trainer, out: Path, tensorboard: bool) -> None:
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
            for event in run(trainer, out, tensorboard):
                if isinstance(event, events.BatchDone):
                    speed = f"{event.chars_per_second:,.0f} characters/s"
                    words = f"epoch {event.epoch} · perplexity {event.perplexity:.2f} · {speed}"
                    bar.update(task, completed=event.progress, description=words)
                else:
                    _print(event, trainer, out)
    finally:
        for caught, handler in previous.items():
            signal.signal(caught, handler)


def _print(event: events.Event, trainer: Trainer, out: Path) -> None:
    if isinstance(event, events.Started):
        c = event.config
        console.print(
            f"{trainer.corpus.name}: {event.training_chars:,} characters to train on, "
            f"{event.validation_chars:,} to validate, {c.vocab_size:,} distinct; "
            f"{c.cell} {c.num_layers}×{c.hidden_dim}, {event.num_parameters:,} parameters, "
            f"{event.num_batches} batches per epoch, backend {event.backend}"
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
        share = "" if event.memorised is None else f" [dim]({event.memorised:.0%} stands in the corpus)[/dim]"
        text = escaped(event.text) if console.is_terminal else event.text
        console.print(f" - {_plain(text)}{share}")
    elif isinstance(event, events.Advice):
        console.print(f"[yellow]{_plain(event.text)}[/yellow]")
    elif isinstance(event, events.Finished):
        file = checkpoints.checkpoint_path(out)
        console.print(f"{event.reason} after {event.epoch} epochs, {event.seconds:.1f} s; saved {file}")


def _plain(text: str) -> str:
    """Text as itself: rich reads square brackets as markup."""
    return text.replace("[", "\\[")


if __name__ == "__main__":
    typer.run(train)
