"""Writes what a model would write next: `nextchar generate checkpoints/lyrics 分开`."""

from __future__ import annotations

import contextlib
import os
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

import model
from model.errors import NextcharError, OptionError, UnknownCharactersError, show
from model.language_model import LanguageModel
from nextchar.idle import GENERATE, warn_of_idle
from nextchar.prefixes import Prefix, from_arguments, from_file, unescaped
from nextchar.terminal import Program
from nextchar.writing import DRAWS, write
from nextchar.written import File, Screen

program = Program(add_completion=False)


@program.command()
def generate(
    checkpoint: Annotated[Path, typer.Argument(help="The model's folder, or its file.")],
    prefixes: Annotated[
        list[str] | None,
        typer.Argument(
            help=r"Texts to continue; none begins where a text begins. \n is a line end, \t a tab, \\ a backslash."
        ),
    ] = None,
    prefix_file: Annotated[
        str | None,
        typer.Option(
            help='A file of prefixes, one a line, as they stand; or JSON lines, texts or objects with "prefix". '
            "Blank lines are skipped; - is standard input."
        ),
    ] = None,
    num_chars: Annotated[int, typer.Option(help="New characters to write.")] = 100,
    n: Annotated[int, typer.Option("--n", "-n", help="Texts for each prefix, with the seeds that follow.")] = 1,
    stop: Annotated[
        list[str] | None,
        typer.Option(help=r"The text ends before this; may be given several times. \n is a line end."),
    ] = None,
    end: Annotated[
        str | None,
        typer.Option(help="grapheme, word, line or document: go on to the first such place from --num-chars on."),
    ] = None,
    temperature: Annotated[float, typer.Option(help="0 is greedy; else 0.01 to 5.")] = 0.0,
    top_k: Annotated[int | None, typer.Option(help="Draw from the likeliest top_k only.")] = None,
    top_p: Annotated[float, typer.Option(help="Draw from the fewest likeliest that together reach top_p.")] = 1.0,
    seed: Annotated[int | None, typer.Option(help="Makes sampling repeatable.")] = None,
    unique: Annotated[
        bool,
        typer.Option(
            "--unique",
            help="Leave out texts that were written already; draw others until there are --n for each prefix, "
            f"{DRAWS} times as many at most.",
        ),
    ] = False,
    unknown: Annotated[str, typer.Option(help="error, or skip: characters never seen in training.")] = "error",
    output: Annotated[
        Path | None,
        typer.Option(help="Write to this file, a text a line; JSON lines with --json or where it ends in .jsonl."),
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace what --output names.")] = False,
    device: Annotated[str, typer.Option(help="auto, cpu or gpu.")] = "auto",
    engine: Annotated[
        str, typer.Option("--engine", "--backend", help="auto, mxnet or onnxruntime; --backend is its old name.")
    ] = "auto",
    interactive: Annotated[bool, typer.Option(help="Ask for one prefix after the other; an empty line ends.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object per text.")] = False,
) -> None:
    """Continues each prefix by --num-chars characters, or to where --stop or --end say."""
    warn_of_idle(GENERATE, generate, locals())
    options: dict[str, Any] = {
        "num_chars": num_chars,
        "n": n,
        "stop": [unescaped(text) for text in stop or []],
        "end": end,
        "temperature": temperature,
        "top_k": top_k,
        "top_p": top_p,
        "seed": seed,
        "unknown": unknown,
    }
    try:
        if overwrite and output is None:
            raise typer.BadParameter("--overwrite has no effect without --output")
        asked = from_arguments(prefixes or []) + (from_file(prefix_file) if prefix_file is not None else [])
        if not (asked or interactive or prefix_file is not None):
            asked = from_arguments([""])
        with File(output, as_json, overwrite) if output else contextlib.nullcontext(Screen(as_json)) as out:
            lm = model.load(checkpoint, device, engine)
            lm.pieces([], **options)  # raises for an option that is not allowed
            _say_of_stops(lm, options["stop"])
            good = [prefix for prefix in asked if _is_known(lm, prefix, unknown)]
            write(lm, good, options, unique, out)
            while interactive and (line := _ask()):
                _write_one_more(lm, Prefix(unescaped(line)), options, unique, out)
    except NextcharError as error:
        print(error, file=sys.stderr)
        raise typer.Exit(1) from None
    except KeyboardInterrupt:
        raise typer.Exit(130) from None
    except BrokenPipeError:  # whoever read has enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # for what is still to be flushed
        raise typer.Exit(0) from None
    if len(good) < len(asked):
        raise typer.Exit(1)


def _say_of_stops(lm: LanguageModel, stops: list[str]) -> None:
    for text in stops:
        if lm.vocabulary.known(text) != text:
            print(f"--stop {show(text)} holds a character that this model never writes", file=sys.stderr)


def _is_known(lm: LanguageModel, prefix: Prefix, unknown: str) -> bool:
    """Whether the model can read it; says why not. Raises OptionError for an `unknown` that there is not."""
    try:
        lm.prepare_prefix(prefix.text, unknown)
    except (OptionError, UnknownCharactersError) as error:
        if isinstance(error, OptionError) and error.field == "unknown":
            raise
        message = error.message if prefix.place and isinstance(error, OptionError) else error
        print(f"{prefix.place}: {message}" if prefix.place else message, file=sys.stderr)
        return False
    return True


def _write_one_more(
    lm: LanguageModel, prefix: Prefix, options: dict[str, Any], unique: bool, out: Screen | File
) -> None:
    """A mistyped prefix, or Ctrl-C while it writes, is no reason to leave."""
    if _is_known(lm, prefix, options["unknown"]):
        with contextlib.suppress(KeyboardInterrupt):
            write(lm, [prefix], options, unique, out)


def _ask() -> str:
    try:
        return input("> " if sys.stdin.isatty() else "")
    except (EOFError, KeyboardInterrupt):
        return ""
