"""The training record that a checkpoint carries: enough to say how it came to be, and to make it again."""

from __future__ import annotations

import math
import platform
from contextlib import suppress
from dataclasses import asdict
from datetime import datetime, timezone
from importlib import metadata
from typing import Any, Protocol

import numpy as np

from model.processor import available_cores
from model.text.beginning import starts_record
from model.text.encoding import EncodedCorpus
from model.text.held_out import Split
from model.text.source import DOCUMENT_END
from model.training.backend import Backend
from model.training.optimisation.objective import perplexity
from model.training.options import TrainingOptions
from model.training.position import Position

HISTORY = ("epoch", "seconds", "train_perplexity", "validation_perplexity")
MXNET_PACKAGES = ("mxnet", "mxnet-cu117")  # for the CPU, for GPUs
MAX_HISTORY = 400  # rows; enough for a picture


class Run(Protocol):
    """What a record is made of: a run as it stands."""

    options: TrainingOptions
    corpus: EncodedCorpus
    split: Split
    backend: Backend
    position: Position
    ended: str | None  # why; None while it goes on

    @property
    def kept_epoch(self) -> int:
        """The epoch whose parameters the checkpoint holds."""


def training_record(run: Run) -> dict[str, Any]:
    """The same options, text, versions and thread count on the same kind of processor give the same parameters,
    if `repeatable` is true: neither a clock nor a signal had a say, and no option changed on the way.
    """
    at, options = run.position, run.options
    validated = bool(options.validation_fraction) and math.isfinite(at.best_loss)
    diverged = run.ended == "diverged"
    return {
        "options": asdict(options),
        "corpus": {
            "name": run.corpus.name,
            "sha256": run.corpus.sha256,
            "chars": len(run.corpus.indices),
            "document_end": DOCUMENT_END if run.corpus.source.join == "document" else None,
        },
        "held_out": [list(block) for block in run.split.blocks] or None,  # [start, end) of what is measured
        "ended": run.ended,  # epochs, steps, time, patience, stopped or diverged; null: not yet
        "diverged_in_epoch": at.epoch + 1 if diverged else None,
        "repeatable": not (at.timed or at.changed or run.ended in (None, "stopped")),
        "changed_on_resume": at.changed,
        "saved_at": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "epochs": at.epoch,
        "best_epoch": run.kept_epoch,
        "steps": at.step,
        "seconds": round(at.seconds, 3),
        "train_perplexity": at.train_perplexity if at.epoch else None,
        "validation_perplexity": perplexity(at.best_loss, 1) if validated else None,
        "memorised": at.memorised,
        "starts": starts_record(run.corpus.reading),
        "history": _thinned([dict(zip(HISTORY, row, strict=True)) for row in at.history]),
        "backend": run.backend.name,
        "threads": available_cores(),
        "versions": {
            "nextchar": _version_of("nextchar"),
            "python": platform.python_version(),
            "numpy": np.__version__,
            "mxnet": _version_of(*MXNET_PACKAGES),
        },
        "machine": platform.machine(),
    }


def _thinned(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """At most MAX_HISTORY rows, evenly spaced, the last one among them."""
    stride = -(-len(rows) // MAX_HISTORY) if rows else 1
    return rows[::-1][::stride][::-1]


def _version_of(*packages: str) -> str | None:
    """Of the one of these packages that is installed. Importing MXNet to ask takes seconds; a copy may have none."""
    for name in packages:
        with suppress(metadata.PackageNotFoundError):
            return metadata.version(name)
    return None
