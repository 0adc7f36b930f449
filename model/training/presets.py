"""Settings that belong together, by name. Each takes the sizes of text and vocabulary and a time budget."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from model.errors import OptionError
from model.kernels import bfloat16
from model.training.options import MAX_EPOCHS

# The chapter leaves its corpus as it is.
PRESETS_THAT_KEEP_CASE = frozenset({"chapter"})
SIZES = (128, 192, 256, 384, 512, 768, 1024)  # hidden units
PASSES = 10  # over the text, below which a smaller model ends up better
SMALL_TEXT = 300_000  # characters
SELDOM = 200  # times that a character stands in a text on average, below which it is seldom seen


def chapter(_num_chars: int, _vocab_size: int, time_budget_s: float | None) -> dict[str, Any]:
    """The chapter's configuration to the letter."""
    return {
        "cell": "rnn", "num_layers": 1, "hidden_dim": 256, "initialisation": "normal", "num_steps": 35,
        "batch_size": 32, "sampling": "random", "epochs": 200, "loss_reduction": "sum", "optimizer": "sgd",
        "learning_rate": 0.2, "clipping_theta": 5.0, "pred_len": 50, "pred_period": 50,
        "time_budget_s": time_budget_s,
    }  # fmt: skip


def quick(_num_chars: int, _vocab_size: int, time_budget_s: float | None) -> dict[str, Any]:
    """About half a minute on two cores; longer, and it would recite the embedded corpus."""
    return {
        "cell": "gru", "num_layers": 1, "hidden_dim": 256, "initialisation": "scaled", "num_steps": 35,
        "batch_size": 32, "sampling": "consecutive", "state_reset": 0.05,
        "epochs": 16, "time_budget_s": time_budget_s or 60.0,
        "loss_reduction": "mean", "optimizer": "adam", "learning_rate": 4e-3, "schedule": "linear", "hold": 0.6,
        "final_rate": 0.02, "clipping_theta": 1.0, "dropout_output": 0.3, "pred_len": 50, "pred_period": 8,
    }  # fmt: skip


def best(num_chars: int, vocab_size: int, time_budget_s: float | None) -> dict[str, Any]:
    """As good on unseen text as the time allows; 180 s unless told. The last tenth of the text is held out.

    For a large text, the largest LSTM that reads it PASSES times in the budget. A small one is read a fixed number of
    times with more of the model hidden; most of all where each character is seldom seen, as in a small Chinese text.
    """
    budget = time_budget_s or 180.0
    affordable = (hidden for hidden in SIZES if _chars_per_second(hidden) * budget >= PASSES * num_chars)
    large = num_chars >= SMALL_TEXT
    hidden_dim = max(affordable, default=SIZES[0]) if large else 256
    if large:
        own = {**_LARGE, "learning_rate": 1.6e-2 * min(1.0, 384 / hidden_dim)}
    else:
        own = _SMALL if num_chars >= SELDOM * vocab_size else _SMALL_AND_VARIED
    return {
        "cell": "lstm", "num_layers": 1, "hidden_dim": hidden_dim, "initialisation": "scaled", "num_steps": 64,
        "sampling": "consecutive", "time_budget_s": budget, "loss_reduction": "mean",
        "optimizer": "adam", "schedule": "linear", "final_rate": 0.02, "clipping_theta": 1.0, "averaging": 0.995,
        "state_reset": 0.01, "validation_fraction": 0.1, "precision": "auto", "pred_len": 100, "pred_period": 10,
        **own,
    }  # fmt: skip


_LARGE = {
    "batch_size": 32, "epochs": 100_000, "hold": 0.5, "dropout_output": 0.3, "dropout_recurrent": 0.2,
    "eval_every": 2,
}  # fmt: skip
_SMALL = {
    "batch_size": 16, "epochs": 20, "learning_rate": 1e-2, "hold": 0.4, "dropout_output": 0.4,
    "dropout_recurrent": 0.3,
}  # fmt: skip
_SMALL_AND_VARIED = {
    "batch_size": 16, "epochs": 10, "learning_rate": 1e-2, "hold": 0.3, "dropout_output": 0.6,
    "dropout_recurrent": 0.5, "weight_decay": 0.3,
}  # fmt: skip


def _chars_per_second(hidden_dim: int) -> float:
    """Of an LSTM on two cores: 6 · 4 H² floating-point operations for each character, at so many a second."""
    return (240e9 if bfloat16.available() else 140e9) / (24 * hidden_dim**2)


PRESETS: dict[str, Callable[[int, int, float | None], dict[str, Any]]] = {
    "chapter": chapter,
    "quick": quick,
    "best": best,
}


def check(preset: str) -> None:
    """Raises OptionError for a preset that there is not."""
    if preset not in PRESETS:
        raise OptionError("preset", f"{preset!r} is not one of {', '.join(PRESETS)}")


def settings(preset: str, num_chars: int, vocab_size: int, given: Mapping[str, Any]) -> dict[str, Any]:
    """A preset for a text, with what was given instead. Raises OptionError for a preset that there is not."""
    check(preset)
    return with_given(PRESETS[preset](num_chars, vocab_size, given.get("time_budget_s")), given)


def with_given(base: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """Settings with others instead. `steps` alone end a run: ends that only the base knows are lifted for them."""
    lifted = {"epochs": MAX_EPOCHS, "time_budget_s": None} if "steps" in given else {}
    return {**base, **lifted, **given}
