"""The training record that a checkpoint carries: enough to say how it came to be, and to make it again."""

from __future__ import annotations

import os
import platform
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np

from model.device import mx

if TYPE_CHECKING:
    from model.training.trainer import Trainer

HISTORY = ("epoch", "seconds", "train_perplexity", "validation_perplexity")
MAX_HISTORY = 400  # rows; enough for a picture


def training_record(trainer: Trainer) -> dict[str, Any]:
    """The same options, text, versions and thread count on the same kind of processor give the same parameters."""
    at = trainer.position
    validated = at.best_loss < float("inf")
    return {
        "options": asdict(trainer.options),
        "corpus": {"name": trainer.corpus.name, "sha256": trainer.corpus.sha256, "chars": len(trainer.corpus.indices)},
        "epochs": at.epoch,
        "best_epoch": at.best_epoch,
        "steps": at.step,
        "seconds": round(at.seconds, 3),
        "train_perplexity": at.train_perplexity if at.epoch else None,
        "validation_perplexity": float(np.exp(at.best_loss)) if validated else None,
        "memorised": at.memorised,
        "history": _thinned([dict(zip(HISTORY, row, strict=True)) for row in at.history]),
        "backend": trainer.backend.name,
        "threads": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "versions": {"python": platform.python_version(), "numpy": np.__version__, "mxnet": mx.__version__},
        "machine": platform.machine(),
    }


def _thinned(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """At most MAX_HISTORY rows, evenly spaced, the last one among them."""
    stride = -(-len(rows) // MAX_HISTORY) if rows else 1
    return rows[::-1][::stride][::-1]
