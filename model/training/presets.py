"""Settings that belong together, by name. Each takes the size of the text and a time budget and gives options."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

# The chapter leaves its corpus as it is.
PRESETS_THAT_KEEP_CASE = frozenset({"chapter"})
SIZES = (128, 192, 256, 384, 512, 768, 1024)  # hidden units
PASSES = 6  # over the text, below which a smaller model ends up better
SMALL_TEXT = 300_000  # characters


def chapter(_num_chars: int, time_budget_s: float | None) -> dict[str, Any]:
    """The chapter's configuration to the letter."""
    return {
        "cell": "rnn", "num_layers": 1, "hidden_dim": 256, "initialisation": "normal", "num_steps": 35,
        "batch_size": 32, "sampling": "random", "epochs": 200, "loss_reduction": "sum", "optimizer": "sgd",
        "learning_rate": 0.2, "clipping_theta": 5.0, "pred_len": 50, "pred_period": 50,
        "time_budget_s": time_budget_s,
    }  # fmt: skip


def quick(_num_chars: int, time_budget_s: float | None) -> dict[str, Any]:
    """About half a minute on two cores; longer, and it would recite the embedded corpus."""
    return {
        "cell": "gru", "num_layers": 1, "hidden_dim": 256, "initialisation": "scaled", "num_steps": 35,
        "batch_size": 32, "sampling": "consecutive", "state_reset": 0.05,
        "epochs": 16, "time_budget_s": time_budget_s or 60.0,
        "loss_reduction": "mean", "optimizer": "adam", "learning_rate": 4e-3, "schedule": "linear", "hold": 0.6,
        "final_rate": 0.02, "clipping_theta": 1.0, "dropout_output": 0.3, "pred_len": 50, "pred_period": 8,
    }  # fmt: skip


def best(num_chars: int, time_budget_s: float | None) -> dict[str, Any]:
    """As good on unseen text as the time allows; 180 s unless told. The last tenth of the text is held out.

    The largest LSTM that reads the text PASSES times in the budget; a small text gets more dropout instead of more
    passes, and a patience.
    """
    budget = time_budget_s or 180.0
    affordable = (hidden for hidden in SIZES if _chars_per_second(hidden) * budget >= PASSES * num_chars)
    small = num_chars < SMALL_TEXT
    return {
        "cell": "lstm", "num_layers": 1, "hidden_dim": 256 if small else max(affordable, default=SIZES[0]),
        "initialisation": "scaled", "num_steps": 32, "batch_size": 16 if small else 32,
        "sampling": "consecutive", "epochs": 100_000, "time_budget_s": budget, "loss_reduction": "mean",
        "optimizer": "adam", "learning_rate": 4e-3, "schedule": "linear",
        "hold": 0.6 if small else 0.5, "final_rate": 0.02,
        "clipping_theta": 1.0, "dropout_output": 0.5 if small else 0.3, "averaging": 0.995, "state_reset": 0.01,
        "validation_fraction": 0.1, "patience": 15 if small else None, "pred_len": 100, "pred_period": 10,
    }  # fmt: skip


def _chars_per_second(hidden_dim: int) -> float:
    """Of an LSTM on two cores: 6 · 4 H² floating-point operations for each character, at 140 GFLOP/s."""
    return 140e9 / (24 * hidden_dim**2)


PRESETS: dict[str, Callable[[int, float | None], dict[str, Any]]] = {"chapter": chapter, "quick": quick, "best": best}
