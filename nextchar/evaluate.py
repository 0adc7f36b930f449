"""Measures a model on a text: `nextchar evaluate checkpoints/lyrics my.txt`."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from model import checkpoint as checkpoints
from model.errors import NextcharError, describe
from model.evaluation import Evaluation, evaluate
from model.text.corpus import read_text
from nextchar.terminal import Program, escaped, json_line

MOST_UNKNOWN = 20  # characters that are named
LARGE = 1e6  # figures from here on are shown with a power of ten

program = Program(add_completion=False)
console = Console(highlight=False, markup=False, emoji=False, soft_wrap=True)


@program.command()
def main(
    checkpoint: Annotated[Path, typer.Argument(help="A model's folder or file.")],
    texts: Annotated[
        list[str],
        typer.Argument(metavar="TEXT", help="A text file, a zip of one, or an embedded corpus; several are joined."),
    ],
    encoding: Annotated[str, typer.Option(help="Of the text file.")] = "utf-8",
    max_chars: Annotated[int | None, typer.Option(help="Use only the first so many characters.")] = None,
    last: Annotated[float, typer.Option(help="Measure on the last share of the text only, such as 0.1.")] = 1.0,
    held_out: Annotated[
        bool,
        typer.Option(
            "--held-out", help="Measure on what the model's own training held out; TEXT is what it was trained on."
        ),
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object.")] = False,
) -> None:
    """Nats and bits per character, perplexity, unknown characters, and the worst and best passages.

    A passage is a line, or a part of a line that is longer than a terminal is wide.
    """
    try:
        loaded = checkpoints.load(checkpoint)
        written = _joined([read_text(text, encoding)[1] for text in texts])
        result = evaluate(loaded, written, max_chars=max_chars, last=last, held_out=held_out)
    except NextcharError as error:
        console.print(_shown(str(error)))
        raise typer.Exit(1) from None
    if as_json:
        console.print(_shown(json_line(asdict(result))))
    else:
        _print(result)


def _joined(texts: list[str]) -> str:
    """One text, each of its parts beginning a line."""
    return "".join([*(text if text.endswith("\n") else f"{text}\n" for text in texts[:-1]), texts[-1]])


def _print(result: Evaluation) -> None:
    console.print(f"{result.characters:,} characters, {result.coverage:.2%} of the text known to the model")
    console.print(
        f"{_figure(result.nats_per_char, 4)} nats, {_figure(result.bits_per_char, 4)} bits per character; "
        f"perplexity {_figure(result.perplexity, 3)}"
    )
    if result.unknown:
        named = [f"{describe(c)} ×{n:,}" for c, n in list(result.unknown.items())[:MOST_UNKNOWN]]
        more = len(result.unknown) - len(named)
        console.print("unknown: " + ", ".join(named) + (f" and {more:,} more" if more else ""))
    for title, lines in (("worst passages", result.worst_lines), ("best passages", result.best_lines)):
        if lines:
            console.print(title)
        for line in lines:
            console.print(f"  {_figure(line.nats_per_char, 2)}  {_shown(line.text)}")


def _figure(value: float, digits: int) -> str:
    return f"{value:.{digits}f}" if value < LARGE else f"{value:.{digits}g}"


def _shown(text: str) -> str:
    return escaped(text) if console.is_terminal else text
