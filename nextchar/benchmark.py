"""Measures this machine: `nextchar benchmark decode`. Prints tables, then one JSON line.

What measures is imported when it is called.
"""

from __future__ import annotations

import sys
from importlib.util import find_spec
from typing import Annotated, NoReturn

import typer

from model.errors import NextcharError
from nextchar.terminal import Program

program = Program(add_completion=False, no_args_is_help=True)

MEMORY_STREAMS = (1, 1000, 10_000)
IDENTITY_CASES = 10_000
Peers = Annotated[bool, typer.Option(help="Also PyTorch, which must be installed.")]


@program.callback()
def benchmark() -> None:
    """Measures this machine. Nothing else should run on it meanwhile."""


@program.command()
def decode(
    peers: Peers = False,
    rounds: Annotated[int, typer.Option(min=1, help="Each contender is timed so often, in turns.")] = 15,
    only_peers: Annotated[bool, typer.Option(help="Leave out growth, memory and identity.")] = False,
) -> None:
    """Decoding through the library: one tanh layer, H = 256, V = 1465, float32, 200 characters."""
    _need(peers, "torch")
    from nextchar.benchmarks import decoding
    from nextchar.benchmarks.measuring import json_line, table

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
        measured = MEMORY_STREAMS if decoding.STATM.exists() else ()
        memory = [(streams, round(decoding.memory(streams), 1)) for streams in measured]
        typer.echo(table(("streams decoding", "KiB each"), memory) + "\n")
        differences = decoding.identity(IDENTITY_CASES)
        typer.echo(f"{IDENTITY_CASES} texts in random company: {differences} differ from the text alone\n")
        figures |= {"engine": options, "growth": grown, "memory_kib": memory, "differences": differences}
    typer.echo(json_line(**figures))


@program.command()
def http(
    peers: Annotated[bool, typer.Option(help="Also PyTorch behind LitServe, which must be installed.")] = False,
    rounds: Annotated[int, typer.Option(min=1, help="Bursts of load on each server, in turns.")] = 5,
    burst_s: Annotated[float, typer.Option(min=0.1, help="Seconds of one burst.")] = 3.0,
) -> None:
    """Over HTTP: 64 clients × 200 characters, then one client × 100."""
    _need(peers, "torch", "litserve")
    from nextchar.benchmarks import serving
    from nextchar.benchmarks.measuring import json_line, table

    try:
        found = serving.measure(peers, rounds, burst_s)
    except NextcharError as error:
        _fail(error)
    names = ("chars_per_s", "requests_per_s", "p50_ms", "p99_ms", "errors", "healthz_p99_ms", "healthz_max_ms")
    served = [name for name in ("nextchar", "LitServe") if name in found]
    rows = [(name, *(found[name].get(key, "") for key in names)) for name in served]
    typer.echo(table(("64 clients × 200", *names), rows) + "\n")
    typer.echo(table(("1 client × 100", "ms"), list(found["one client"].items())) + "\n")
    if peers:
        typer.echo(f"nextchar serves {found['ratio']} times as many characters\n")
    typer.echo(json_line(**found))


@program.command()
def train(
    peers: Peers = False,
    rounds: Annotated[int, typer.Option(min=1, help="Each contender is timed so often, in turns.")] = 7,
) -> None:
    """Training steps on random characters: forward, backward, clipping and update."""
    _need(peers, "torch")
    from nextchar.benchmarks import training
    from nextchar.benchmarks.measuring import json_line, table

    figures: dict[str, object] = {}
    for case in training.CASES:
        found = figures[case.name] = training.measure(case, rounds, peers)
        peak = found.pop("peak_gflops")
        head = (case.name, "characters/s", f"of {peak} GFLOP/s", "nextchar is … times as fast")
        typer.echo(table(head, [(name, *own.values()) for name, own in found.items()]) + "\n")
        found["peak_gflops"] = peak
    typer.echo(json_line(**figures))


def _need(peers: bool, *packages: str) -> None:
    """Says which of the packages that peers stand for are missing, before anything is measured."""
    missing = [package for package in packages if peers and find_spec(package) is None]
    if missing:
        _fail(f"peers: {' and '.join(missing)} not installed (the extra `bench` brings both torch and litserve)")


def _fail(message: object) -> NoReturn:
    print(message, file=sys.stderr)
    raise typer.Exit(1)
