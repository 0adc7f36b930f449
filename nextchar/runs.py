"""Lists the models under a folder beside each other: settings, perplexity, seconds: `nextchar runs checkpoints`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from model import checkpoint as checkpoints
from model.errors import CheckpointError
from nextchar.terminal import Program, escaped

program = Program(add_completion=False)


@program.command()
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
            table.add_row(Text(file.parent.name), Text(escaped(str(error)), "red"))
            continue
        c, record = checkpoint.config, checkpoint.training
        options = record.get("options")
        options = options if isinstance(options, dict) else {}
        cells = (
            file.parent.name, f"{c.cell} {c.num_layers}×{c.hidden_dim}",
            f"{options.get('batch_size', '?')}×{options.get('num_steps', '?')}", options.get("optimizer", "?"),
            options.get("learning_rate", "?"), options.get("sampling", "?"), record.get("epochs", "?"),
            _figure(record.get("seconds"), ".0f"), _figure(record.get("train_perplexity"), ".3f"),
            _figure(record.get("validation_perplexity"), ".3f"), _figure(record.get("memorised"), ".0%"),
        )  # fmt: skip
        table.add_row(*(Text(escaped(str(cell))) for cell in cells))
    console = Console(width=None if sys.stdout.isatty() else 140, highlight=False, markup=False, emoji=False)
    console.print(table if table.row_count else f"no models under {folder}")


def _figure(value: object, form: str) -> str:
    """A number as its column has it; whatever else a record holds, as it is."""
    return "" if value is None else format(value, form) if isinstance(value, int | float) else str(value)
