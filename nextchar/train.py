"""Trains a model on a text and saves it: `nextchar train --corpus my.txt --out checkpoints/mine`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from model import checkpoint as checkpoints
from model.errors import CheckpointError, NextcharError, OptionError
from model.text.encoding import open_corpus
from model.text.rules import TextRules
from model.text.source import Source
from model.training import PRESETS, PRESETS_THAT_KEEP_CASE, Trainer, TrainingOptions, presets
from model.training.options import check
from model.training.report.journal import check_tensorboard
from model.training.run import RESUME_NAME, Snapshot, check_free, check_name, read_snapshot
from nextchar.options import PRESET, with_training_options
from nextchar.progress import console, watch
from nextchar.terminal import Program

FAILED, DIVERGED, DIVERGED_BUT_SAVED = 1, 3, 4  # exit codes; 2 is that of a command line that cannot be read
TEXT, FILES = "Text", "Files"  # panels of the help

program = Program(add_completion=False)


def _of_files(help: str) -> Any:
    """A switch in the panel of files."""
    return typer.Option(help=help, rich_help_panel=FILES, show_default=False)


@program.command()
@with_training_options
def train(
    out: Annotated[Path, typer.Option(help="Folder of the model; its name is the model's name.")],
    corpus: Annotated[
        list[str] | None,
        typer.Option(
            help="A text file, a folder or zip of them, - for standard input, or lyrics; may be repeated.",
            show_default="lyrics",
            metavar="<str>",  # in place of <list[str]>
        ),
    ] = None,
    preset: Annotated[
        str | None, typer.Option(help=f"Settings to start from ({', '.join(PRESETS)}).", show_default=PRESET)
    ] = None,
    resume: Annotated[
        bool,
        typer.Option(
            help="Go on with the run in --out, from where it was last saved, with the settings it had.",
            show_default=False,
        ),
    ] = False,
    encoding: Annotated[str, typer.Option(help="Of the text files.", rich_help_panel=TEXT)] = "utf-8",
    errors: Annotated[
        str, typer.Option(help="For bytes that do not decode: strict, or replace.", rich_help_panel=TEXT)
    ] = "strict",
    join: Annotated[
        str,
        typer.Option(help="Between texts: line, a line end; document, a mark after each.", rich_help_panel=TEXT),
    ] = "line",
    max_chars: Annotated[
        int | None, typer.Option(help="Use only the first so many characters.", rich_help_panel=TEXT)
    ] = None,
    keep_newlines: Annotated[
        bool | None, typer.Option(help="Line ends stay; else they become spaces.", rich_help_panel=TEXT)
    ] = None,
    keep_case: Annotated[
        bool | None, typer.Option(help="Capitals stay; else the text is lower-cased.", rich_help_panel=TEXT)
    ] = None,
    tensorboard: Annotated[bool, _of_files("Also write TensorBoard events.")] = False,
    override: Annotated[bool, _of_files("With --resume: go on though settings given here are others.")] = False,
    overwrite: Annotated[
        bool, _of_files("Train anew where --out holds a model, which is kept as a version, or a run.")
    ] = False,
    if_missing: Annotated[
        bool, _of_files("Do nothing where --out holds a model; where it holds a run without one, go on with it.")
    ] = False,
    **settings: Any,
) -> None:
    """Trains a character-level recurrent language model on a text and saves it under --out.

    A setting that is not given is the preset's, or with --resume what it was.
    Defaults in parentheses are those of the preset quick.

    Ctrl-C and SIGTERM end it after the batch under way, with what there is saved.

    Exit codes: 0 trained; 1 refused or failed, and says why;
    2 the command line cannot be read; 3 training diverged, nothing was saved;
    4 training diverged, its best state before that was saved.
    """
    given = {
        name: tuple(value) if isinstance(value, list) else value
        for name, value in settings.items()
        if value not in (None, [])
    }
    try:
        check_name(out)
        _check(preset, given)
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
        encoded = open_corpus(Source(tuple(corpus or ["lyrics"]), encoding, errors, join, max_chars), rules, out)
        if snapshot is None or preset is not None:
            options = presets.settings(preset or PRESET, len(encoded.indices), len(encoded.vocabulary), given)
        else:
            options = presets.with_given(snapshot.facts["options"], given)
        trainer = Trainer(encoded, TrainingOptions.from_record(options))
        if snapshot is not None:
            trainer.restore(snapshot.arrays, snapshot.facts, override)
        finished = watch(trainer, out, tensorboard, overwrite)
    except (NextcharError, OSError) as error:
        console.print(str(error), style="red")
        raise typer.Exit(FAILED) from None
    if finished.reason == "diverged":
        raise typer.Exit(DIVERGED_BUT_SAVED if finished.best_epoch else DIVERGED)


def _check(preset: str | None, given: Mapping[str, Any]) -> None:
    """Refuses what can be refused before a text is read, which may take long."""
    if preset is not None:
        presets.check(preset)
    for name, value in given.items():
        check(name, value)


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
