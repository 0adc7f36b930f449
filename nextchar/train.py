"""Trains a model on a text and saves it: `nextchar train --corpus my.txt --out checkpoints/mine`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, TypeAlias

import typer

from model import checkpoint as checkpoints
from model.errors import CheckpointError, NextcharError, OptionError
from model.text.encoding import open_corpus
from model.text.rules import TextRules
from model.training import PRESETS, PRESETS_THAT_KEEP_CASE, Trainer, TrainingOptions, presets
from model.training.report.journal import check_tensorboard
from model.training.run import RESUME_NAME, Snapshot, check_free, check_name, read_snapshot
from nextchar.progress import console, watch
from nextchar.terminal import Program

FAILED, DIVERGED, DIVERGED_BUT_SAVED = 1, 3, 4  # exit codes; 2 is that of a command line that cannot be read
# None: what the preset says.
Real: TypeAlias = float | None
Whole: TypeAlias = int | None
Name: TypeAlias = str | None
Switch: TypeAlias = bool | None

program = Program(add_completion=False)


@program.command()
def train(
    out: Annotated[Path, typer.Option(help="Folder of the model; its name is the model's name.")],
    corpus: Annotated[str, typer.Option(help="A text file, a zip of one, or an embedded corpus.")] = "lyrics",
    encoding: Annotated[str, typer.Option(help="Of the text file.")] = "utf-8",
    max_chars: Annotated[Whole, typer.Option(help="Use only the first so many characters.")] = None,
    keep_newlines: Annotated[Switch, typer.Option(help="Line ends stay; else they become spaces.")] = None,
    keep_case: Annotated[Switch, typer.Option(help="Capitals stay; else the text is lower-cased.")] = None,
    preset: Annotated[Name, typer.Option(help=f"Settings to start from: {', '.join(PRESETS)}; else quick.")] = None,
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
    steps: Annotated[
        Whole, typer.Option(help="Ends training after so many updates, and the schedule runs over them: repeatable.")
    ] = None,
    time_budget: Annotated[
        Real, typer.Option(help="Seconds; ends training, and the schedule runs over it: not repeatable.")
    ] = None,
    loss_reduction: Annotated[Name, typer.Option(help="Gradient of the sum or the mean over a batch.")] = None,
    optimizer: Annotated[Name, typer.Option(help="sgd or adam.")] = None,
    learning_rate: Annotated[Real, typer.Option(help="The highest learning rate.")] = None,
    schedule: Annotated[Name, typer.Option(help="constant or linear.")] = None,
    hold: Annotated[Real, typer.Option(help="Share of the run after which the rate falls.")] = None,
    final_rate: Annotated[Real, typer.Option(help="Where the rate ends, as a multiple of its highest.")] = None,
    clipping_theta: Annotated[Real, typer.Option(help="Largest global norm of the gradient.")] = None,
    weight_decay: Annotated[Real, typer.Option(help="Of the matrices, per step and learning rate.")] = None,
    averaging: Annotated[Real, typer.Option(help="Decay of the moving average of weights to keep; 0 is off.")] = None,
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
    seed: Annotated[
        Whole,
        typer.Option(
            help="The same seed, machine, packages and settings give the same parameters, unless the time budget ends "
            "training before --epochs or --steps do; the model's record says whether it did (repeatable)."
        ),
    ] = None,
    device: Annotated[Name, typer.Option(help="auto, cpu or gpu.")] = None,
    backend: Annotated[Name, typer.Option(help="auto, mxnet or cpu.")] = None,
    precision: Annotated[Name, typer.Option(help="Of products: float32, bfloat16 or auto.")] = None,
    tensorboard: Annotated[bool, typer.Option(help="Also write TensorBoard events.")] = False,
    resume: Annotated[
        bool, typer.Option(help="Go on with the run in --out, from where it was last saved, with the settings it had.")
    ] = False,
    override: Annotated[bool, typer.Option(help="With --resume: go on though settings given here are others.")] = False,
    overwrite: Annotated[
        bool, typer.Option(help="Train anew where --out holds a model, which is kept as a version, or a run.")
    ] = False,
    if_missing: Annotated[
        bool,
        typer.Option(help="Do nothing where --out holds a model; where it holds a run without one, go on with it."),
    ] = False,
) -> None:
    """Trains a character-level recurrent language model on a text and saves it under --out.

    Ctrl-C and SIGTERM end it after the batch under way, with what there is saved.

    Exit codes: 0 trained; 1 refused or failed, and says why; 2 the command line cannot be read; 3 training diverged,
    nothing was saved; 4 training diverged, its best state before that was saved.
    """
    given = {
        "cell": cell, "num_layers": num_layers, "hidden_dim": hidden_dim, "initialisation": initialisation,
        "num_steps": num_steps, "batch_size": batch_size, "sampling": sampling, "carry_state": carry_state,
        "state_reset": state_reset, "epochs": epochs, "steps": steps, "time_budget_s": time_budget,
        "loss_reduction": loss_reduction, "optimizer": optimizer,
        "learning_rate": learning_rate, "schedule": schedule, "hold": hold,
        "final_rate": final_rate, "clipping_theta": clipping_theta, "weight_decay": weight_decay,
        "averaging": averaging, "dropout_layers": dropout_layers,
        "dropout_output": dropout_output, "dropout_recurrent": dropout_recurrent, "precision": precision,
        "validation_fraction": validation_fraction, "eval_every": eval_every,
        "patience": patience, "prefixes": tuple(prefix) if prefix else None, "pred_len": pred_len,
        "pred_period": pred_period, "save_every_s": save_every, "seed": seed, "device": device, "backend": backend,
    }  # fmt: skip
    given = {name: value for name, value in given.items() if value is not None}
    try:
        check_name(out)
        if tensorboard:
            check_tensorboard()
        if if_missing:
            if _verifies(out):
                return
            resume = (out / RESUME_NAME).exists()
            overwrite = not resume
        if resume and overwrite:
            raise OptionError("resume", "goes on with the run that --overwrite would remove; give one of them")
        if override and not resume:
            raise OptionError("override", "is for --resume")
        snapshot = read_snapshot(out) if resume else None
        if not (resume or overwrite):
            check_free(out)
        rules = _rules(keep_case, keep_newlines, preset, snapshot)
        encoded = open_corpus(corpus, rules, encoding, max_chars, out)
        if snapshot is None or preset is not None:
            settings = presets.settings(preset or "quick", len(encoded.indices), len(encoded.vocabulary), given)
        else:
            settings = presets.with_given(snapshot.facts["options"], given)
        trainer = Trainer(encoded, TrainingOptions.from_record(settings))
        if snapshot is not None:
            trainer.restore(snapshot.arrays, snapshot.facts, override)
        finished = watch(trainer, out, tensorboard, overwrite)
    except (NextcharError, OSError) as error:
        console.print(str(error), style="red")
        raise typer.Exit(FAILED) from None
    if finished.reason == "diverged":
        raise typer.Exit(DIVERGED_BUT_SAVED if finished.best_epoch else DIVERGED)


def _rules(
    keep_case: bool | None, keep_newlines: bool | None, preset: str | None, snapshot: Snapshot | None
) -> TextRules:
    """How the text is read: as given, else as the run to resume read it, else as the preset does."""
    before = snapshot.facts.get("rules", {}) if snapshot is not None else {}
    if keep_case is None:
        keep_case = not before.get("lowercase", preset not in PRESETS_THAT_KEEP_CASE)
    if keep_newlines is None:
        keep_newlines = before.get("newlines") == "keep"
    return TextRules(lowercase=not keep_case, newlines="keep" if keep_newlines else "space")


def _verifies(out: Path) -> bool:
    """Whether a model stands under `out`; of one that is damaged it says so."""
    if not (out / checkpoints.FILE_NAME).exists():
        return False
    try:
        digest = checkpoints.load(out).digest
    except CheckpointError as error:
        console.print(f"{error}; training it anew", style="yellow")
        return False
    console.print(f"{out} holds a model already (digest {digest[:12]}); nothing to do")
    return True
