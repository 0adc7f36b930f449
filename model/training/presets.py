"""Settings that belong together, by name. Each takes the size of the text and a time budget and gives options."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

# The chapter leaves its corpus as it is.
PRESETS_THAT_KEEP_CASE = frozenset({"chapter"})


def chapter(_num_chars: int, time_budget_s: float | None) -> dict[str, Any]:
    """The chapter's configuration to the letter."""
    return {
        "cell": "rnn", "num_layers": 1, "hidden_dim": 256, "initialisation": "normal", "num_steps": 35,
        "batch_size": 32, "sampling": "random", "epochs": 200, "loss_reduction": "sum", "optimizer": "sgd",
        "learning_rate": 0.2, "clipping_theta": 5.0, "pred_len": 50, "pred_period": 50,
        "time_budget_s": time_budget_s,
    }  # fmt: skip


def quick(_num_chars: int, time_budget_s: float | None) -> dict[str, Any]:
    """About half a minute on two cores, for a model that has learnt something."""
    return {
        "cell": "gru", "num_layers": 1, "hidden_dim": 256, "initialisation": "uniform", "num_steps": 35,
        "batch_size": 32, "sampling": "consecutive", "epochs": 40, "time_budget_s": time_budget_s or 40.0,
        "loss_reduction": "mean", "optimizer": "adam", "learning_rate": 4e-3, "schedule": "linear", "hold": 0.6,
        "final_rate": 0.02, "clipping_theta": 1.0, "dropout_output": 0.2, "pred_len": 50, "pred_period": 10,
    }  # fmt: skip


PRESETS: dict[str, Callable[[int, float | None], dict[str, Any]]] = {"chapter": chapter, "quick": quick}
