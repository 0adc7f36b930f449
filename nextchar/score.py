"""Says how likely a model finds a text: `nextchar score checkpoints/lyrics 不分开`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

import model
from model import checkpoint as checkpoints
from model.decoding.scoring import Score
from model.errors import NextcharError, describe
from model.text.corpus import read_text
from nextchar.terminal import Program, escaped, json_line

WIDTH = 140  # where there is no terminal to ask
MAX_ROWS = 1000  # of a table; nobody reads more, and rich takes a second for so many

program = Program(add_completion=False)


@program.command()
def score(
    checkpoint: Annotated[Path, typer.Argument(help="The model's folder, or its file.")],
    texts: Annotated[list[str] | None, typer.Argument(help="Texts to score; else standard input is one.")] = None,
    file: Annotated[
        str | None,
        typer.Option(
            help="Score a text file, a folder or zip of texts, or an embedded corpus, without a line end at its end."
        ),
    ] = None,
    encoding: Annotated[str, typer.Option(help="Of the file or of standard input.")] = "utf-8",
    unknown: Annotated[str, typer.Option(help="error, or skip: characters never seen in training.")] = "error",
    device: Annotated[str, typer.Option(help="auto, cpu or gpu.")] = "auto",
    engine: Annotated[str, typer.Option(help="auto, mxnet or onnxruntime.")] = "auto",
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object per text, as POST /score answers.")] = False,
) -> None:
    """How likely the model finds each text: log-probability, rank and entropy at each of its characters."""
    try:
        if not texts and file is None and sys.stdin.isatty():
            raise typer.BadParameter("give at least one text, --file, or a text on standard input")
        asked = [*(texts or [])]
        if file is not None:
            asked.append(_without_last_line_end(read_text(file, encoding)[1]))
        elif not texts:
            asked.append(_without_last_line_end(read_text("-", encoding)[1]))
        lm = model.load(checkpoint, device, engine)
        scores = [lm.score(text, unknown) for text in asked]
    except NextcharError as error:
        print(error, file=sys.stderr)
        raise typer.Exit(1) from None
    for one in scores:
        if as_json:
            line = json_line(body(one, _name(checkpoint)))
            print(escaped(line) if sys.stdout.isatty() else line, flush=True)
        else:
            _show(one)


def body(score: Score, name: str) -> dict[str, Any]:
    """As `POST /score` answers: ranks from 1."""
    m = score.measured
    values = zip(score.text[1:], m.logprobs.tolist(), m.ranks.tolist(), m.entropies.tolist(), strict=True)
    return {
        "text": score.text,
        "model": name,
        "characters": [
            {"character": character, "logprob": logprob, "rank": rank + 1, "entropy": entropy}
            for character, logprob, rank, entropy in values
        ],
        "total": score.total,
        "mean": score.mean,
        "perplexity": score.perplexity,
        "bits_per_char": max(0.0, score.bits_per_char),  # in this order, which makes 0.0 of -0.0
    }


def _show(score: Score) -> None:
    console = Console(width=None if sys.stdout.isatty() else WIDTH, highlight=False, markup=False, emoji=False)
    if len(score.text) == 1:
        console.print(f"{_named(score.text)}: nothing stands before the first character, so there is nothing to score")
        return
    table = Table("character")
    for heading in ("nats", "rank", "entropy"):
        table.add_column(heading, justify="right")
    found = body(score, "")
    for c in found["characters"][:MAX_ROWS]:
        table.add_row(Text(_named(c["character"])), f"{c['logprob']:.3f}", f"{c['rank']}", f"{c['entropy']:.3f}")
    console.print(table)
    if (more := len(found["characters"]) - MAX_ROWS) > 0:
        console.print(f"{more:,} more characters, which --json has")
    console.print(
        f"{len(found['characters']):,} characters: total {found['total']:.4f} nats, mean {found['mean']:.4f} nats, "
        f"{found['bits_per_char']:.4f} bits per character, perplexity {found['perplexity']:.3f}",
        soft_wrap=True,
    )


def _named(character: str) -> str:
    """A character as a person can tell it from others: white space and what does not print by its code point too."""
    return character if character.isprintable() and not character.isspace() else describe(character)


def _name(checkpoint: Path) -> str:
    """The name that the model is served by: that of its folder."""
    file = checkpoints.checkpoint_path(checkpoint).resolve()
    return file.parent.name if file.name == checkpoints.FILE_NAME else file.stem


def _without_last_line_end(text: str) -> str:
    return text.removesuffix("\n").removesuffix("\r")
