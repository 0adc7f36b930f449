"""Measures a model on a text: `nextchar evaluate checkpoints/lyrics my.txt`."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from model import checkpoint as checkpoints
from model.errors import NextcharError, describe
from model.evaluation import evaluate
from model.text.corpus import read_text
from nextchar.terminal import Program, escaped, json_line

program = Program(add_completion=False)
console = Console(highlight=False, markup=False, emoji=False, soft_wrap=True)


@program.command()
def main(
    checkpoint: Annotated[Path, typer.Argument(help="A model's folder or file.")],
    text: Annotated[
        str, typer.Argument(help="A text file, a folder or zip of texts, - for standard input, or an embedded corpus.")
    ],
    encoding: Annotated[str, typer.Option(help="Of the text file.")] = "utf-8",
    max_chars: Annotated[int | None, typer.Option(help="Use only the first so many characters.")] = None,
    last: Annotated[float, typer.Option(help="Measure on the last share of the text only, such as 0.1.")] = 1.0,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object.")] = False,
) -> None:
    """Nats and bits per character, perplexity, unknown characters, and the worst and best lines."""
    try:
        loaded = checkpoints.load(checkpoint)
        _, written = read_text(text, encoding)
        result = evaluate(loaded, written, max_chars=max_chars, last=last)
    except NextcharError as error:
        console.print(str(error))
        raise typer.Exit(1) from None
    if as_json:
        console.print(_shown(json_line(asdict(result))))
        return
    console.print(f"{result.characters:,} characters, {result.coverage:.2%} of the text known to the model")
    console.print(
        f"{result.nats_per_char:.4f} nats, {result.bits_per_char:.4f} bits per character; "
        f"perplexity {result.perplexity:.3f}"
    )
    if result.unknown:
        console.print("unknown: " + ", ".join(f"{describe(c)} ×{n}" for c, n in list(result.unknown.items())[:20]))
    for title, lines in (("worst lines", result.worst_lines), ("best lines", result.best_lines)):
        console.print(title)
        for line in lines:
            console.print(f"  {line.nats_per_char:.2f}  {_shown(line.text)}")


def _shown(text: str) -> str:
    return escaped(text) if console.is_terminal else text
