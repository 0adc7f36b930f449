"""Measures this machine: `python scripts/benchmark.py decode`. Prints tables, then one JSON line."""

from __future__ import annotations

from typing import Annotated

import typer

from scripts.benchmarks import decoding
from scripts.benchmarks.measuring import json_line, table

app = typer.Typer(add_completion=False, no_args_is_help=True)

MEMORY_STREAMS = (1, 1000, 10_000)
IDENTITY_CASES = 10_000


@app.callback()
def benchmark() -> None:
    """Measures this machine. Nothing else should run on it meanwhile."""


@app.command()
def decode(
    peers: Annotated[bool, typer.Option(help="Also PyTorch, which must be installed.")] = False,
    rounds: Annotated[int, typer.Option(min=1, help="Each contender is timed so often, in turns.")] = 15,
    only_peers: Annotated[bool, typer.Option(help="Leave out growth, memory and identity.")] = False,
) -> None:
    """Decoding through the library: one tanh layer, H = 256, V = 1465, float32, 200 characters."""
    figures: dict[str, object] = {}
    for rows in (1, 128):
        found = decoding.against_peers(rows, rounds, peers)
        figures[f"rows_{rows}"] = found
        versus = (f"{rows} row(s)", "µs per step", "characters/s", "generate is … times as fast")
        typer.echo(table(versus, [(name, *own.values()) for name, own in found.items()]) + "\n")
    if not only_peers:
        options = decoding.engine_options(rounds)
        head = ("threads", "spinning", "rows", "µs per step, 64 a call", "µs per step, 1 a call")
        typer.echo(table(head, options) + "\n")
        grown = decoding.growth(max(3, rounds // 3))
        typer.echo(table(("grows", "to", "characters/s"), [(a, b, round(c)) for a, b, c in grown]) + "\n")
        memory = [(streams, round(decoding.memory(streams), 1)) for streams in MEMORY_STREAMS]
        typer.echo(table(("streams decoding", "KiB each"), memory) + "\n")
        differences = decoding.identity(IDENTITY_CASES)
        typer.echo(f"{IDENTITY_CASES} texts in random company: {differences} differ from the text alone\n")
        figures |= {"engine": options, "growth": grown, "memory_kib": memory, "differences": differences}
    typer.echo(json_line(**figures))


if __name__ == "__main__":
    app()
