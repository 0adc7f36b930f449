"""Measures this machine: `python scripts/benchmark.py decode`. Prints tables, then one JSON line."""

from __future__ import annotations

import sys
from pathlib import Path

if not __package__:  # called by its path: what it measures with lies beside it and is not installed
    sys.path.insert(0, str(Path(__file__).parent.parent))

from typing import Annotated

import typer

from scripts.benchmarks import decoding, serving, training
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


@app.command()
def http(
    peers: Annotated[bool, typer.Option(help="Also PyTorch behind LitServe, which must be installed.")] = False,
    rounds: Annotated[int, typer.Option(min=1, help="Bursts of load on each server, in turns.")] = 5,
    burst_s: Annotated[float, typer.Option(min=0.1, help="Seconds of one burst.")] = 3.0,
) -> None:
    """Over HTTP: 64 clients × 200 characters, then one client × 100."""
    found = serving.measure(peers, rounds, burst_s)
    names = ("chars_per_s", "requests_per_s", "p50_ms", "p99_ms", "errors", "healthz_p99_ms", "healthz_max_ms")
    served = [name for name in ("nextchar", "LitServe") if name in found]
    rows = [(name, *(found[name].get(key, "") for key in names)) for name in served]
    typer.echo(table(("64 clients × 200", *names), rows) + "\n")
    typer.echo(table(("1 client × 100", "ms"), list(found["one client"].items())) + "\n")
    if peers:
        typer.echo(f"nextchar serves {found['ratio']} times as many characters\n")
    typer.echo(json_line(**found))


@app.command()
def train(
    peers: Annotated[bool, typer.Option(help="Also PyTorch, which must be installed.")] = False,
    rounds: Annotated[int, typer.Option(min=1, help="Each contender is timed so often, in turns.")] = 7,
) -> None:
    """Training steps on random characters: forward, backward, clipping and update."""
    figures: dict[str, object] = {}
    for case in training.CASES:
        found = figures[case.name] = training.measure(case, rounds, peers)
        peak = found.pop("peak_gflops")
        head = (case.name, "characters/s", f"of {peak} GFLOP/s", "nextchar is … times as fast")
        typer.echo(table(head, [(name, *own.values()) for name, own in found.items()]) + "\n")
        found["peak_gflops"] = peak
    typer.echo(json_line(**figures))


if __name__ == "__main__":
    app()
