"""Writes what a model would write next: `nextchar generate checkpoints/lyrics 分开`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

import model
from model.errors import NextcharError
from model.language_model import LanguageModel
from nextchar.terminal import Program, escaped, json_line

program = Program(add_completion=False)


@program.command()
def generate(
    checkpoint: Annotated[Path, typer.Argument(help="The model's folder, or its file.")],
    prefixes: Annotated[
        list[str] | None, typer.Argument(help="Texts to continue; without one, where a text begins.")
    ] = None,
    num_chars: Annotated[int, typer.Option(help="New characters to write.")] = 100,
    temperature: Annotated[float, typer.Option(help="0 is greedy; else 0.01 to 5.")] = 0.0,
    top_k: Annotated[int | None, typer.Option(help="Draw from the likeliest top_k only.")] = None,
    top_p: Annotated[float, typer.Option(help="Draw from the fewest likeliest that together reach top_p.")] = 1.0,
    seed: Annotated[int | None, typer.Option(help="Makes sampling repeatable.")] = None,
    unknown: Annotated[str, typer.Option(help="error, or skip: characters never seen in training.")] = "error",
    device: Annotated[str, typer.Option(help="auto, cpu or gpu.")] = "auto",
    engine: Annotated[
        str, typer.Option("--engine", "--backend", help="auto, mxnet or onnxruntime; --backend is its old name.")
    ] = "auto",
    interactive: Annotated[bool, typer.Option(help="Ask for one prefix after the other; an empty line ends.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object per prefix.")] = False,
) -> None:
    """Continues each prefix by exactly --num-chars characters."""

    def write(lm: LanguageModel, texts: list[str]) -> None:
        written = lm.generate(
            texts, num_chars, temperature=temperature, top_k=top_k, top_p=top_p, seed=seed, unknown=unknown
        )
        for g in written:
            body = {"text": g.text, "prefix": g.prefix, "generated": g.generated, "seed": g.seed}
            line = json_line(body) if as_json else g.text
            print(escaped(line) if sys.stdout.isatty() else line, flush=True)

    try:
        lm = model.load(checkpoint, device, engine)
        if prefixes or not interactive:
            write(lm, prefixes or [""])
        while interactive and (line := _ask()):
            try:
                write(lm, [line])
            except NextcharError as error:  # a mistyped prefix is no reason to leave
                print(error, file=sys.stderr)
    except NextcharError as error:
        print(error, file=sys.stderr)
        raise typer.Exit(1) from None


def _ask() -> str:
    try:
        return input("> " if sys.stdin.isatty() else "")
    except (EOFError, KeyboardInterrupt):
        return ""
