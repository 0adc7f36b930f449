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
        "backend": trainer.backend.name,
        "threads": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "versions": {"python": platform.python_version(), "numpy": np.__version__, "mxnet": mx.__version__},
        "machine": platform.machine(),
    }
