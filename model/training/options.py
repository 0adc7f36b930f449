"""What a training run can be told, with the bounds of each setting. Knows nothing of texts or of how it is done.

A record or a run of an earlier version is read as well: see `in_todays_words`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from model.config import GATES, MAX_HIDDEN_DIM, MAX_LAYERS
from model.errors import OptionError
from model.processor import DEVICES
from model.training.optimisation.initialise import INITIALISATIONS

# field: (lowest, highest), both allowed
BOUNDS: dict[str, tuple[float, float]] = {
    "num_layers": (1, MAX_LAYERS),
    "hidden_dim": (1, MAX_HIDDEN_DIM),
    "num_steps": (1, 4096),
    "batch_size": (1, 65536),
    "epochs": (1, 1_000_000),
    "steps": (1, 10**12),
    "learning_rate": (0.0, 1e6),
    "final_rate": (0.0, 1.0),
    "hold": (0.0, 1.0),
    "clipping_theta": (1e-9, 1e9),
    "weight_decay": (0.0, 10.0),
    "averaging": (0.0, 0.99999),
    "dropout_layers": (0.0, 0.9),
    "dropout_output": (0.0, 0.9),
    "dropout_recurrent": (0.0, 0.9),
    "time_budget_s": (0.1, 1e8),
    "validation_fraction": (0.0, 0.5),
    "eval_every": (1, 1_000_000),
    "patience": (1, 1_000_000),
    "pred_len": (1, 100_000),
    "pred_period": (1, 1_000_000),
    "state_reset": (0.0, 1.0),
    "save_every_s": (0.0, 1e8),
    "seed": (0, 2**63 - 1),
}
CHOICES: dict[str, tuple[str, ...]] = {
    "cell": tuple(GATES),
    "initialisation": tuple(INITIALISATIONS),
    "sampling": ("random", "consecutive"),
    "loss_reduction": ("sum", "mean"),
    "optimizer": ("sgd", "adam"),
    "schedule": ("constant", "linear"),
    "device": DEVICES,
    "backend": ("auto", "mxnet", "cpu"),
    "precision": ("auto", "float32", "bfloat16"),
}
ALIASES = {"numpy": "cpu", "numpy-bfloat16": "cpu-bfloat16"}  # what backends were called before
DROPPED = {"warmup": 0.0, "dropout_input": 0.0}  # options there were, with the value that changed nothing


@dataclass(frozen=True)
class TrainingOptions:
    """The defaults are the chapter's configuration. None means "off"; bounds stand in BOUNDS and CHOICES."""

    cell: str = "rnn"
    num_layers: int = 1
    hidden_dim: int = 256
    initialisation: str = "normal"
    num_steps: int = 35  # T: characters that the gradient reaches back
    batch_size: int = 32  # N
    sampling: str = "random"
    carry_state: bool = False  # with random sampling: zero the state at the start of an epoch only
    state_reset: float = 0.0  # share of rows whose carried state is set to zero before a batch, as in serving
    epochs: int = 200
    steps: int | None = None  # updates after which training ends; the schedule runs over the nearest of the three ends
    time_budget_s: float | None = (
        None  # seconds after which training ends; only this end depends on the machine's speed
    )
    loss_reduction: str = "sum"  # the gradient is of the sum (as the chapter has it) or the mean over N·T characters
    optimizer: str = "sgd"
    learning_rate: float = 0.2
    schedule: str = "constant"
    hold: float = 0.0  # share of the run after which the rate begins to fall
    final_rate: float = 0.0  # where a falling schedule ends, as a multiple of learning_rate
    clipping_theta: float = 5.0  # the gradient's global norm is at most this
    weight_decay: float = 0.0  # each step shrinks the matrices by learning rate × this
    averaging: float = 0.0  # decay per step of the moving average of the weights that is kept; 0 keeps the weights
    dropout_layers: float = 0.0  # share of units hidden between layers
    dropout_output: float = 0.0  # share of units hidden from the output layer
    dropout_recurrent: float = 0.0  # share of recurrent weights hidden (Merity, Keskar and Socher, 2018)
    validation_fraction: float = 0.0  # the end of the text that is kept out of training
    eval_every: int = 1  # epochs between validations
    patience: int | None = None  # validations without a new best after which training ends
    prefixes: tuple[str, ...] = ()
    pred_len: int = 50  # characters written after each prefix
    pred_period: int = 50  # epochs between predictions
    save_every_s: float = 30.0  # seconds between saves of what a run needs to be resumed; 0 saves after every batch
    seed: int = 0
    device: str = "auto"
    backend: str = "auto"
    precision: str = "float32"  # of the factors in matrix products; auto: bfloat16 where the processor has it

    def __post_init__(self) -> None:
        object.__setattr__(self, "backend", todays_name(self.backend))
        for name, choices in CHOICES.items():
            value = getattr(self, name)
            if value not in choices:
                raise OptionError(name, f"{value!r} is not one of {', '.join(choices)}")
        for name, (low, high) in BOUNDS.items():
            value = getattr(self, name)
            if value is None and name in ("steps", "time_budget_s", "patience"):
                continue
            if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
                raise OptionError(name, f"{value!r} is not a number")
            if isinstance(low, int) and isinstance(high, int) and not isinstance(value, int):
                raise OptionError(name, f"{value!r} is not a whole number")
            if not low <= value <= high:
                raise OptionError(name, f"{value} is not from {low} to {high}")
        if self.learning_rate == 0:
            raise OptionError("learning_rate", "0 would learn nothing; it must be above 0")
        if self.carry_state and self.sampling != "random":
            raise OptionError("carry_state", "is for random sampling; consecutive sampling always carries the state")

    @classmethod
    def from_record(cls, record: dict[str, Any]) -> TrainingOptions:
        """The options that a training record (JSON) holds, of any version so far. Unknown keys are refused."""
        record = in_todays_words(record)
        unknown = set(record) - {f.name for f in fields(cls)}
        if unknown:
            raise OptionError(sorted(unknown)[0], "is not a training option")
        return cls(**{**record, "prefixes": tuple(record.get("prefixes", ()))})


def todays_name(backend: str) -> str:
    """A backend by the name it has now, whichever it was recorded under."""
    return ALIASES.get(backend, backend) if isinstance(backend, str) else backend


def in_todays_words(record: Mapping[str, Any]) -> dict[str, Any]:
    """The options of a record as this version has them. Raises OptionError for what it can no longer do."""
    for name, idle in DROPPED.items():
        if record.get(name, idle) != idle:
            raise OptionError(name, f"was {record[name]}; this version has no such option")
    return {name: value for name, value in record.items() if name not in DROPPED}
