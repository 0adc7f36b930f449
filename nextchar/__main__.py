"""All commands under one name: `nextchar train …`, or `python -m nextchar train …`.

A command is the `program` of the module of its name. The module is imported when the command is called, so that the
list of commands is there at once.
"""

from __future__ import annotations

from importlib import import_module, metadata
from typing import Annotated, Any

import typer
from typer.core import TyperCommand
from typer.main import get_command

from nextchar.terminal import Program

COMMANDS = {
    "train": "Trains a character-level recurrent language model on a text and saves it under --out.",
    "generate": "Continues each prefix by --num-chars characters, or to where --stop or --end say.",
    "score": "How likely the model finds each text: log-probability, rank and entropy at each of its characters.",
    "evaluate": "Nats and bits per character, perplexity, unknown characters, and the worst and best lines.",
    "export": "Exports a model, checked against the reference, or imports one of the chapter's.",
    "runs": "Compares trained models: what changing a setting did to time and perplexity.",
    "models": "Lists the versions of a model and goes back to one of them.",
    "benchmark": "Measures this machine. Nothing else should run on it meanwhile.",
    "serve": "Serves the models over HTTP with the settings of the environment, until SIGTERM or Ctrl-C.",
}

NAME = "nextchar"  # of what is installed

program = Program(
    help="Trains a character-level recurrent language model on your own text and serves what it would write next.",
    add_completion=False,
    no_args_is_help=True,
)


class Named(TyperCommand):
    """Known by its name and one line of help until it is called; then the command of the module takes its place."""

    def make_context(self, *args: Any, **options: Any) -> Any:
        return get_command(import_module(f"nextchar.{self.name}").program).make_context(*args, **options)


def show_version(wanted: bool) -> None:
    if wanted:
        try:
            print(NAME, metadata.version(NAME))
        except metadata.PackageNotFoundError:
            print("nextchar, of unknown version: it is not installed")
        raise typer.Exit


@program.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", callback=show_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Those of all commands together."""


def nothing() -> None:
    """Stands in the place of a command that is not imported yet."""


for name, line in COMMANDS.items():
    program.command(name, help=line, cls=Named)(nothing)

if __name__ == "__main__":
    program()
