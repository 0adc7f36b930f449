"""Lists the models under a folder beside each other: settings, perplexity, seconds."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from model import checkpoint as checkpoints
from model.errors import CheckpointError


def runs(folder: Annotated[Path, typer.Argument(help="Holds the models' folders.")] = Path("checkpoints")) -> None:
    """Compares trained models: what changing a setting did to time and perplexity."""
    table = Table()
    for heading in ("model", "cell", "N×T", "optimizer", "rate", "sampling", "epochs", "seconds", "perplexity",
                    "validation", "by heart"):  # fmt: skip
        table.add_column(heading, overflow="fold")
    for file in sorted(folder.glob(f"*/{checkpoints.FILE_NAME}")):
        try:
            checkpoint = checkpoints.load(file)
        except CheckpointError as error:
            table.add_row(file.parent.name, f"[red]{error}[/red]")
            continue
        c, record = checkpoint.config, checkpoint.training
        options = record.get("options", {})
        table.add_row(
            file.parent.name, f"{c.cell} {c.num_layers}×{c.hidden_dim}",
            f"{options.get('batch_size', '?')}×{options.get('num_steps', '?')}", str(options.get("optimizer", "?")),
            str(options.get("learning_rate", "?")), str(options.get("sampling", "?")), str(record.get("epochs", "?")),
            _figure(record.get("seconds"), ".0f"), _figure(record.get("train_perplexity"), ".3f"),
            _figure(record.get("validation_perplexity"), ".3f"), _figure(record.get("memorised"), ".0%"),
        )  # fmt: skip
    Console(width=None if sys.stdout.isatty() else 140).print(table if table.row_count else f"no models under {folder}")


def _figure(value: float | None, form: str) -> str:
    return "" if value is None else format(value, form)


if __name__ == "__main__":
    typer.run(runs)
