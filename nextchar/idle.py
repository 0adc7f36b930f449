"""Options that are given and have no effect beside the others, in words. A table says when, for each command.

What is contradictory is refused where options are checked; what stands here is harmless, and a person thinks that it
does something.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from model.text.stored import EMBEDDED
from nextchar.terminal import say

Options = Mapping[str, Any]  # by name


@dataclass(frozen=True)
class Idle:
    """when: whether the option does nothing beside these. why: what stands after "has no effect"."""

    name: str
    when: Callable[[Options], bool]
    why: str


def _embedded(corpora: str | Sequence[str] | None) -> bool:
    named = [corpora] if isinstance(corpora, str) else corpora or []
    return bool(named) and all(corpus in EMBEDDED for corpus in named)


def _hides_nothing(share: float) -> bool:
    """Dropout is rounded to 1/256."""
    return 0 < share < 1 / 512


# Fields of TrainingOptions.
SETTINGS = (
    Idle(
        "state_reset",
        lambda o: o["sampling"] == "random" and not o["carry_state"],
        "with --sampling random without --carry-state",
    ),
    Idle("hold", lambda o: o["schedule"] == "constant", "with --schedule constant"),
    Idle("hold", lambda o: o["schedule"] != "constant" and o["final_rate"] == 1, "with --final-rate 1"),
    Idle("final_rate", lambda o: o["schedule"] == "constant", "with --schedule constant"),
    Idle("final_rate", lambda o: o["schedule"] != "constant" and o["hold"] == 1, "with --hold 1"),
    Idle("dropout_layers", lambda o: o["num_layers"] == 1, "with one layer (--num-layers 1)"),
    Idle(
        "dropout_layers", lambda o: o["num_layers"] > 1 and _hides_nothing(o["dropout_layers"]), "below 1/512"
    ),
    Idle("dropout_output", lambda o: _hides_nothing(o["dropout_output"]), "below 1/512"),
    Idle("dropout_recurrent", lambda o: _hides_nothing(o["dropout_recurrent"]), "below 1/512"),
    Idle("validation", lambda o: not o["validation_fraction"], "without --validation-fraction"),
    Idle("eval_every", lambda o: not o["validation_fraction"], "without --validation-fraction"),
    Idle("patience", lambda o: not o["validation_fraction"], "without --validation-fraction"),
)  # fmt: skip
# What always has an effect, or refuses where it has none.
EFFECTIVE = frozenset({
    "cell", "num_layers", "hidden_dim", "initialisation", "num_steps", "batch_size", "sampling", "carry_state",
    "epochs", "steps", "time_budget_s", "loss_reduction", "optimizer", "learning_rate", "schedule", "clipping_theta",
    "weight_decay", "averaging", "validation_fraction", "prefixes", "pred_len", "pred_period", "save_every_s", "seed",
    "device", "backend", "precision",
})  # fmt: skip

# Other options of the commands.
TRAIN = (
    *(
        Idle(name, lambda o: _embedded(o["corpus"] or (None if o["resume"] else EMBEDDED)), "on an embedded corpus")
        for name in ("encoding", "errors")
    ),
    Idle("overwrite", lambda o: o["if_missing"], "with --if-missing"),
    Idle("resume", lambda o: o["if_missing"], "with --if-missing, which goes on by itself"),
)
GENERATE = tuple(
    Idle(name, lambda o: o["temperature"] == 0, "while the likeliest is taken; give a --temperature above 0")
    for name in ("top_k", "top_p", "seed", "n")
)
SCORE = (
    Idle("encoding", lambda o: bool(o["texts"]) and o["file"] is None, "on texts of the command line"),
    Idle("encoding", lambda o: _embedded(o["file"]), "on an embedded corpus"),
)
EVALUATE = (Idle("encoding", lambda o: _embedded(o["texts"]), "on an embedded corpus"),)
EXPORT = (
    *(Idle(name, lambda o: o["from_mxnet"] is not None, "with --from-mxnet") for name in ("onnx", "to_mxnet")),
    *(
        Idle(name, lambda o: o["from_mxnet"] is None, "without --from-mxnet")
        for name in ("vocabulary", "keep_newlines", "keep_case")
    ),
)


def idle(table: Iterable[Idle], options: Options, given: Collection[str]) -> list[str]:
    """One sentence for each option in `given` that has no effect."""
    return [
        f"--{one.name.replace('_', '-')} has no effect {one.why}"
        for one in table
        if one.name in given and one.when(options)
    ]


def warn_of_idle(table: Collection[Idle], command: Callable[..., Any], options: Options) -> None:
    """Of the options of a command that are not as they are when nobody says."""
    parameters = inspect.signature(command).parameters
    given = [one.name for one in table if options[one.name] != parameters[one.name].default]
    warn(idle(table, options, given))


def warn(sentences: Iterable[str]) -> None:
    """On standard error: standard output has what was asked for and nothing else."""
    for sentence in sentences:
        say(sentence)
