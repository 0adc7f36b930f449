"""What a training run can be told: one field holds the default, what is allowed and the help of each setting.

Knows nothing of texts or of how it is done. A record or a run of an earlier version is read as well: see
`in_todays_words`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from model.config import GATES, MAX_HIDDEN_DIM, MAX_LAYERS
from model.errors import OptionError
from model.processor import DEVICES
from model.text.held_out import PLACES
from model.training.optimisation.initialise import INITIALISATIONS
from model.training.setting import anything, choice, number, settings_of

MAX_EPOCHS = 1_000_000
ALIASES = {"numpy": "cpu", "numpy-bfloat16": "cpu-bfloat16"}  # what backends were called before
DROPPED = {"warmup": 0.0, "dropout_input": 0.0}  # options there were, with the value that changed nothing
BEFORE = {"validation": "end"}  # what was done before there was an option for it


@dataclass(frozen=True)
class TrainingOptions:
    """The defaults are the chapter's configuration. None means "off"."""

    cell: str = choice("rnn", tuple(GATES), "model", "What computes the next state")
    num_layers: int = number(1, 1, MAX_LAYERS, "model", "Layers")
    hidden_dim: int = number(256, 1, MAX_HIDDEN_DIM, "model", "Hidden units of each layer")
    initialisation: str = choice(
        "normal", tuple(INITIALISATIONS), "model", "How weights begin; normal is the chapter's"
    )
    num_steps: int = number(35, 1, 4096, "training", "Characters that the gradient reaches back")  # T
    batch_size: int = number(32, 1, 65536, "training", "Rows of a batch")  # N
    sampling: str = choice("random", ("random", "consecutive"), "training", "Where in the text the rows of a batch lie")
    carry_state: bool = anything(
        False, "training", "With random sampling, zero the state at the start of an epoch only"
    )
    state_reset: float = number(
        0.0, 0.0, 1.0, "training", "Share of rows whose carried state is zeroed before a batch, as in serving"
    )
    epochs: int = number(200, 1, MAX_EPOCHS, "time", "Passes over the text, after which training ends")
    # The schedule runs over the nearest of the three ends.
    steps: int | None = number(
        None, 1, 10**12, "time", "Updates that training and its schedule take; repeatable", off=True
    )
    time_budget_s: float | None = number(
        None, 0.1, 1e8, "time", "Seconds that training and its schedule take; not repeatable", off=True
    )
    loss_reduction: str = choice(
        "sum", ("sum", "mean"), "training", "How the losses of a batch are put together; sum is the chapter's"
    )
    optimizer: str = choice("sgd", ("sgd", "adam"), "training", "How weights are updated")
    learning_rate: float = number(0.2, 0.0, 1e6, "training", "The highest learning rate", above=True)
    schedule: str = choice("constant", ("constant", "linear"), "training", "How the learning rate falls")
    hold: float = number(0.0, 0.0, 1.0, "training", "Share of the run after which the rate begins to fall")
    final_rate: float = number(
        0.0, 0.0, 1.0, "training", "Where a falling schedule ends, as a multiple of the highest rate"
    )
    clipping_theta: float = number(5.0, 1e-9, 1e9, "training", "Largest global norm of the gradient")
    weight_decay: float = number(0.0, 0.0, 10.0, "training", "Each step shrinks the matrices by learning rate × this")
    averaging: float = number(
        0.0, 0.0, 0.99999, "training", "Decay of the moving average of weights that is kept; 0 keeps the weights"
    )
    dropout_layers: float = number(0.0, 0.0, 0.9, "training", "Share of units hidden between layers")
    dropout_output: float = number(0.0, 0.0, 0.9, "training", "Share of units hidden from the output layer")
    dropout_recurrent: float = number(  # Merity, Keskar and Socher, 2018
        0.0, 0.0, 0.9, "training", "Share of recurrent weights hidden"
    )
    validation_fraction: float = number(
        0.0, 0.0, 0.5, "validation and samples", "Share of the text that is kept out of training"
    )
    validation: str = choice(
        "spread", PLACES, "validation and samples", "Where that share lies; spread: in several parts of the text"
    )
    eval_every: int = number(1, 1, 1_000_000, "validation and samples", "Epochs between validations")
    patience: int | None = number(
        None, 1, 1_000_000, "time", "Validations without a new best after which training ends", off=True
    )
    prefixes: tuple[str, ...] = anything(
        (), "validation and samples", "A text with which samples begin; may be repeated"
    )
    pred_len: int = number(50, 1, 100_000, "validation and samples", "Characters written after each prefix")
    pred_period: int = number(50, 1, 1_000_000, "validation and samples", "Epochs between samples")
    save_every_s: float = number(
        30.0, 0.0, 1e8, "files", "Seconds between saves of what --resume needs; 0 saves after every batch"
    )
    seed: int = number(
        0, 0, 2**63 - 1, "machine",
        "The same seed, machine, packages and settings give the same parameters, unless the time budget ends training "
        "before --epochs or --steps do; `repeatable` in the model's record says whether it did",
    )  # fmt: skip
    device: str = choice("auto", DEVICES, "machine", "Where it computes")
    backend: str = choice("auto", ("auto", "mxnet", "cpu"), "machine", "What computes")
    precision: str = choice(  # auto: bfloat16 where the processor has it
        "float32", ("auto", "float32", "bfloat16"), "machine", "Of the factors in matrix products"
    )

    def __post_init__(self) -> None:
        object.__setattr__(self, "backend", todays_name(self.backend))
        for field in fields(self):
            check(field.name, getattr(self, field.name))
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


SETTINGS = settings_of(TrainingOptions)  # by the name of their field


def check(name: str, value: Any) -> None:
    """Raises OptionError where a setting may not be this, whatever the others are."""
    SETTINGS[name].check(name, todays_name(value) if name == "backend" else value)


def todays_name(backend: str) -> str:
    """A backend by the name it has now, whichever it was recorded under."""
    return ALIASES.get(backend, backend) if isinstance(backend, str) else backend


def in_todays_words(record: Mapping[str, Any]) -> dict[str, Any]:
    """The options of a record as this version has them. Raises OptionError for what it can no longer do."""
    for name, idle in DROPPED.items():
        if record.get(name, idle) != idle:
            raise OptionError(name, f"was {record[name]}; this version has no such option")
    return {**BEFORE, **{name: value for name, value in record.items() if name not in DROPPED}}
