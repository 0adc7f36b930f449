"""The training record that a checkpoint carries: enough to say how it came to be, and to make it again."""

from __future__ import annotations

import math
import os
import platform
from contextlib import suppress
from dataclasses import asdict
from datetime import datetime, timezone
from importlib import metadata
from typing import TYPE_CHECKING, Any

import numpy as np

from model.training.objective import perplexity

if TYPE_CHECKING:
    from model.training.trainer import Trainer

HISTORY = ("epoch", "seconds", "train_perplexity", "validation_perplexity")
MXNET_PACKAGES = ("mxnet", "mxnet-cu117")
MAX_HISTORY = 400  # rows; enough for a picture


def training_record(trainer: Trainer) -> dict[str, Any]:
    """The same options, text, versions and thread count on the same kind of processor give the same parameters,
    if `repeatable` is true: neither a clock nor a signal had a say, and no option changed on the way.
    """
    at, options = trainer.position, trainer.options
    validated = bool(options.validation_fraction) and math.isfinite(at.best_loss)
    diverged = trainer.ended == "diverged"
    return {
        "options": asdict(options),
        "corpus": {"name": trainer.corpus.name, "sha256": trainer.corpus.sha256, "chars": len(trainer.corpus.indices)},
        "ended": trainer.ended,  # epochs, steps, time, patience, stopped or diverged; null: not yet
        "diverged_in_epoch": at.epoch + 1 if diverged else None,
        "repeatable": not (at.timed or at.changed or trainer.ended in (None, "stopped")),
        "changed_on_resume": at.changed,
        "saved_at": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "epochs": at.epoch,
        "best_epoch": trainer.kept_epoch,
        "steps": at.step,
        "seconds": round(at.seconds, 3),
        "train_perplexity": at.train_perplexity if at.epoch else None,
        "validation_perplexity": perplexity(at.best_loss, 1) if validated else None,
        "memorised": at.memorised,
        "history": _thinned([dict(zip(HISTORY, row, strict=True)) for row in at.history]),
        "backend": trainer.backend.name,
        "threads": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "versions": {"python": platform.python_version(), "numpy": np.__version__, "mxnet": _version_of_mxnet()},
        "machine": platform.machine(),
    }


def _thinned(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """At most MAX_HISTORY rows, evenly spaced, the last one among them."""
    stride = -(-len(rows) // MAX_HISTORY) if rows else 1
    return rows[::-1][::stride][::-1]


def _version_of_mxnet() -> str | None:
    """Of the package that is installed, the one for the CPU or one for GPUs; importing it to ask takes seconds."""
    for name in MXNET_PACKAGES:
        with suppress(metadata.PackageNotFoundError):
            return metadata.version(name)
    return None
