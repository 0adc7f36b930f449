"""Trains a model on a text and saves it: `nextchar train --corpus my.txt --out checkpoints/mine`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from model import checkpoint as checkpoints
from model.errors import CheckpointError, NextcharError, OptionError
from model.text.learnable import check_learnable
from model.training import PRESETS, Trainer, TrainingOptions, presets
from model.training.options import check
from model.training.planning import plan
from model.training.report.journal import check_tensorboard
from model.training.resuming import source_of
from model.training.run import RESUME_NAME, check_free, check_name, read_snapshot
from nextchar.idle import SETTINGS, TRAIN, idle, warn, warn_of_idle
from nextchar.options import PRESET, with_training_options
from nextchar.progress import console, watch
from nextchar.resume import folder_of, open_text, source_for
from nextchar.rules import rules_for
from nextchar.terminal import Program, escaped

FAILED, DIVERGED, DIVERGED_BUT_SAVED = 1, 3, 4  # exit codes; 2 is that of a command line that cannot be read
TEXT, FILES = "Text", "Files"  # panels of the help

program = Program(add_completion=False)


def _of_files(help: str) -> Any:
    """A switch in the panel of files."""
    return typer.Option(help=help, rich_help_panel=FILES, show_default=False)


@program.command()
@with_training_options
def train(
    out: Annotated[
        str | None, typer.Option(help="Folder of the model; its name is the model's name.", metavar="<path>")
    ] = None,
    folder: Annotated[
        str | None, typer.Argument(metavar="DIR", help="With --resume: the run's folder, instead of --out.")
    ] = None,
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
            help="Go on with the run in DIR, from where it was last saved, with the text and the settings it had.",
            show_default=False,
        ),
    ] = False,
    encoding: Annotated[
        str | None,
        typer.Option(help="Of the text files; auto takes the likeliest.", show_default="utf-8", rich_help_panel=TEXT),
    ] = None,
    errors: Annotated[
        str | None,
        typer.Option(
            help="For bytes that do not decode: strict, or replace.", show_default="strict", rich_help_panel=TEXT
        ),
    ] = None,
    join: Annotated[
        str | None,
        typer.Option(
            help="Between texts: line, a line end; document, a mark after each.",
            show_default="line",
            rich_help_panel=TEXT,
        ),
    ] = None,
    max_chars: Annotated[
        int | None, typer.Option(help="Use only the first so many characters.", rich_help_panel=TEXT)
    ] = None,
    keep_newlines: Annotated[
        bool | None,
        typer.Option(
            help="Line ends stay; in lyrics and with --preset chapter they become spaces.", rich_help_panel=TEXT
        ),
    ] = None,
    keep_case: Annotated[
        bool | None, typer.Option(help="Capitals stay; lyrics is lower-cased.", rich_help_panel=TEXT)
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
    Defaults in parentheses are those of the preset best.

    Ctrl-C, SIGTERM and SIGHUP end it after the batch under way, with what there is saved; a second one ends it at once.

    Exit codes: 0 trained; 1 refused or failed, and says why;
    2 the command line cannot be read; 3 training diverged, nothing was saved;
    4 training diverged, its best state before that was saved.
    """
    warn_of_idle(TRAIN, train, locals())
    given = {
        name: tuple(value) if isinstance(value, list) else value
        for name, value in settings.items()
        if value not in (None, [])
    }
    try:
        place = folder_of(out, folder, resume)
        check_name(place)
        _check(preset, given)
        if tensorboard:
            check_tensorboard()
        if if_missing:
            if _verifies(place):
                return
            resume = (place / RESUME_NAME).exists()
            overwrite = not resume
        if resume and overwrite:
            raise OptionError("resume", "goes on with the run that --overwrite would remove; give one of them")
        if override and not resume:
            raise OptionError("override", "is for --resume")
        snapshot = read_snapshot(place) if resume else None
        if not (resume or overwrite):
            check_free(place)
        before = None if snapshot is None else source_of(snapshot.facts)
        source = source_for(corpus, encoding, errors, join, max_chars, before)
        read_by = None if snapshot is None else snapshot.facts.get("rules", {})
        rules = rules_for(source.corpora, preset, keep_case, keep_newlines, read_by)
        encoded = open_text(source, rules, place, is_of_run=before is not None and not corpus)
        if snapshot is None or preset is not None:
            size = {} if snapshot is None else {"hidden_dim": snapshot.facts["options"]["hidden_dim"]}
            planned = plan(preset or PRESET, encoded, {**size, **given})
            options, lines, epoch_s = planned.options, planned.lines, planned.epoch_seconds
        else:  # of an earlier version, maybe
            lines, epoch_s = (), None
            options = TrainingOptions.from_record(presets.with_given(snapshot.facts["options"], given))
        check_learnable(encoded)
        trainer = Trainer(encoded, options)
        for line in lines:
            console.print(line)
        if snapshot is not None:
            trainer.restore(snapshot.arrays, snapshot.facts, override)
        warn(idle(SETTINGS, vars(trainer.options), given))
        finished = watch(trainer, place, tensorboard, overwrite, epoch_s)
    except (NextcharError, OSError) as error:
        plain = str(error)
        if isinstance(error, OSError):
            plain = f"{error.filename or out or folder}: {error.strerror or error}"
        console.print(escaped(plain) if console.is_terminal else plain, style="red")
        raise typer.Exit(FAILED) from None
    if finished.reason == "diverged":
        raise typer.Exit(DIVERGED_BUT_SAVED if finished.best_epoch else DIVERGED)


def _check(preset: str | None, given: Mapping[str, Any]) -> None:
    """Refuses what can be refused before a text is read, which may take long."""
    if preset is not None:
        presets.check(preset)
    for name, value in given.items():
        check(name, value)


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
