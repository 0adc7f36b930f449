"""Shows a model's earlier versions and goes back to one: `nextchar models restore checkpoints/mine`."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Annotated, NoReturn

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from model.errors import NextcharError
from model.versions import Version, present, restore, versions
from nextchar.terminal import Program

program = Program(help="Lists the versions of a model and goes back to one of them.", add_completion=False)
console = Console(highlight=False, markup=False, emoji=False, soft_wrap=True)
Folder = Annotated[Path, typer.Argument(help="A model's folder, such as checkpoints/mine.")]


@program.command("list")
def show(folder: Folder) -> None:
    """Lists the model and the versions it replaced, the last one replaced first."""
    now, kept = present(folder), versions(folder)
    if now is None and not kept:
        _fail(f"{folder}: holds no model and no version of one")
    table = Table("digest", "saved", "perplexity", "validation", "")
    if now is not None:
        _row(table, now, "the model")
    for version in kept:
        _row(table, version, "")
    console.print(table)


@program.command("restore")
def go_back(
    folder: Folder,
    digest: Annotated[
        str | None, typer.Argument(help="The beginning of a version's digest; else the one replaced last.")
    ] = None,
) -> None:
    """Makes a version the model again; the present model is kept as a version. A running server picks it up."""
    try:
        before = present(folder)
        version = restore(folder, digest)
    except NextcharError as error:
        _fail(str(error))
    if before is not None and version.digest == before.digest:
        console.print(f"{folder}: {version.digest[:12]} is the model already; nothing to do")
    elif before is not None and before.problem is None:
        console.print(f"{folder}: the model is {version.digest[:12]} again; {before.digest[:12]} is kept as a version")
    else:
        console.print(f"{folder}: the model is {version.digest[:12]} again")


def _row(table: Table, version: Version, note: str) -> None:
    saved = datetime.fromtimestamp(version.saved_at).strftime("%Y-%m-%d %H:%M:%S")
    figures = ("" if p is None else f"{p:.3f}" for p in (version.train_perplexity, version.validation_perplexity))
    table.add_row(version.digest[:12], saved, *figures, Text(version.problem or note))


def _fail(message: str) -> NoReturn:
    console.print(message)
    raise typer.Exit(1)
