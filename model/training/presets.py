"""Settings that belong together, by name. Each takes the sizes of text and vocabulary, a time budget, and how fast
this machine is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Protocol

from model.errors import OptionError
from model.kernels import bfloat16
from model.text.batches import num_batches
from model.training.options import MAX_EPOCHS

# The chapter leaves its corpus as it is.
PRESETS_THAT_KEEP_CASE = frozenset({"chapter"})
PRESETS_WITH_EVEN_BATCHES = frozenset({"best"})  # see `fitting.fitted`; the others keep their number of steps
SIZES = (128, 192, 256, 384, 512, 768, 1024)  # hidden units
PASSES = 10  # over the text, below which a smaller model ends up better
SMALL_TEXT, TINY_TEXT = 300_000, 5_000  # characters
WORTH_256 = 30_000  # characters of a text, below which 128 hidden units do as well
SHORTEST_HELD_OUT = 400  # characters of a text, below which what is held out would tell nothing
UPDATES = 25  # between validations, about, of a text of which an epoch has fewer: a tiny one is soon known by heart
UPDATES_UNWATCHED = 200  # where nothing is held out

Speed = Callable[[Mapping[str, Any]], float]  # characters per second with these settings
NOTHING: Mapping[str, Any] = MappingProxyType({})


class Preset(Protocol):
    def __call__(
        self, num_chars: int, vocab_size: int, time_budget_s: float | None, speed: Speed = ...,
        given: Mapping[str, Any] = ...,
    ) -> dict[str, Any]:  # fmt: skip
        """`given` is what stands in place of the preset's own settings: others may follow from it."""


def assumed(settings: Mapping[str, Any]) -> float:
    """Characters per second of an LSTM on two cores, where nothing is measured: from its multiplications alone."""
    H, V = settings["hidden_dim"], settings["vocab_size"]
    return (240e9 if bfloat16.available() else 140e9) / float(6 * (4 * H * H + H * V))


def chapter(
    num_chars: int, vocab_size: int, time_budget_s: float | None, speed: Speed = assumed,
    given: Mapping[str, Any] = NOTHING,
) -> dict[str, Any]:  # fmt: skip
    """The chapter's configuration to the letter."""
    return {
        "cell": "rnn", "num_layers": 1, "hidden_dim": 256, "initialisation": "normal", "num_steps": 35,
        "batch_size": 32, "sampling": "random", "epochs": 200, "loss_reduction": "sum", "optimizer": "sgd",
        "learning_rate": 0.2, "clipping_theta": 5.0, "pred_len": 50, "pred_period": 50,
        "time_budget_s": time_budget_s,
    }  # fmt: skip


def quick(
    num_chars: int, vocab_size: int, time_budget_s: float | None, speed: Speed = assumed,
    given: Mapping[str, Any] = NOTHING,
) -> dict[str, Any]:  # fmt: skip
    """About half a minute on two cores; longer, and it would recite the embedded corpus."""
    return {
        "cell": "gru", "num_layers": 1, "hidden_dim": 256, "initialisation": "scaled", "num_steps": 35,
        "batch_size": 32, "sampling": "consecutive", "state_reset": 0.05,
        "epochs": 16, "time_budget_s": time_budget_s or 60.0,
        "loss_reduction": "mean", "optimizer": "adam", "learning_rate": 4e-3, "schedule": "linear", "hold": 0.6,
        "final_rate": 0.02, "clipping_theta": 1.0, "dropout_output": 0.3, "pred_len": 50, "pred_period": 8,
    }  # fmt: skip


def best(
    num_chars: int, vocab_size: int, time_budget_s: float | None, speed: Speed = assumed,
    given: Mapping[str, Any] = NOTHING,
) -> dict[str, Any]:  # fmt: skip
    """As good on unseen text as the time allows; 180 s unless told. A tenth of the text is held out.

    The largest LSTM that reads the text PASSES times in the budget, up to what a text of its size is worth. Training
    ends when validation no longer improves, or with the budget; the learning rate falls towards either.
    """
    budget = time_budget_s or 180.0
    own = _TINY if num_chars < TINY_TEXT else _SMALL if num_chars < SMALL_TEXT else _LARGE
    if num_chars < SMALL_TEXT:
        own = {**own, "hidden_dim": 128 if num_chars < WORTH_256 else 256}
    settings: dict[str, Any] = {
        "cell": "lstm", "num_layers": 1, "initialisation": "scaled", "num_steps": 64, "sampling": "consecutive",
        "epochs": MAX_EPOCHS, "time_budget_s": budget, "loss_reduction": "mean", "optimizer": "adam",
        "schedule": "linear", "final_rate": 0.02, "clipping_theta": 1.0, "averaging": 0.995, "state_reset": 0.01,
        "validation_fraction": 0.1 if num_chars >= SHORTEST_HELD_OUT else 0.0, "patience": 12, "precision": "auto",
        "pred_len": 100, **own,
    }  # fmt: skip
    settings |= given
    settings["hidden_dim"] = given.get("hidden_dim") or _largest(num_chars, vocab_size, budget, settings, speed)
    if num_chars >= SMALL_TEXT:
        settings["learning_rate"] = 1.6e-2 * min(1.0, 384 / settings["hidden_dim"])
    rows, training = settings["batch_size"], round(num_chars * (1 - settings["validation_fraction"]))
    batches = max(num_batches(training, rows, settings["num_steps"], settings["sampling"]), 1)
    settings["eval_every"] = max(2 if num_chars >= SMALL_TEXT else 1, -(-UPDATES // batches))
    settings["pred_period"] = 5 * settings["eval_every"]
    if not settings["validation_fraction"]:
        settings["patience"] = None
        if num_chars < SMALL_TEXT and "epochs" not in given:
            settings["steps"] = max(UPDATES_UNWATCHED, 20 * batches)  # nothing else would end it before it recites
    return settings


def _largest(num_chars: int, vocab_size: int, budget: float, settings: Mapping[str, Any], speed: Speed) -> int:
    """The largest size that is fast enough, or the smallest. Few are asked about, and none that would take long.

    How much slower a larger one is, is guessed before it is asked; as larger ones use a machine better, the next one is
    asked about where the guess is not far off.
    """
    sizes = [size for size in SIZES if size <= settings["hidden_dim"]]
    needed = PASSES * num_chars / budget  # characters per second

    def ask(by: Speed, i: int) -> float:
        return by({**settings, "hidden_dim": sizes[i], "vocab_size": vocab_size})

    fast, too_slow = 0, len(sizes)  # places of the largest known to be fast enough and of the smallest known not to be
    rate = ask(speed, 0) if len(sizes) > 1 else 0.0
    while rate >= needed and fast + 1 < too_slow:
        guesses = {i: rate * ask(assumed, i) / ask(assumed, fast) for i in range(fast + 1, too_slow)}
        i = max((i for i in guesses if guesses[i] >= needed), default=fast + 1)
        if guesses[i] < needed / 2:
            break
        asked = ask(speed, i)
        if asked >= needed:
            fast, rate = i, asked
        else:
            too_slow = i
    return sizes[fast]


_LARGE = {
    "batch_size": 32, "hidden_dim": 1024, "hold": 0.5, "dropout_output": 0.3, "dropout_recurrent": 0.2,
}  # fmt: skip
_SMALL = {
    "batch_size": 16, "learning_rate": 1e-2, "hold": 0.25, "dropout_output": 0.4, "dropout_recurrent": 0.3,
}  # fmt: skip
_TINY = {
    "batch_size": 8, "learning_rate": 1e-2, "hold": 0.25, "dropout_output": 0.6,
    "dropout_recurrent": 0.5, "weight_decay": 0.3,
}  # fmt: skip


PRESETS: dict[str, Preset] = {
    "chapter": chapter,
    "quick": quick,
    "best": best,
}


def check(preset: str) -> None:
    """Raises OptionError for a preset that there is not."""
    if preset not in PRESETS:
        raise OptionError("preset", f"{preset!r} is not one of {', '.join(PRESETS)}")


def settings(
    preset: str, num_chars: int, vocab_size: int, given: Mapping[str, Any], speed: Speed = assumed
) -> dict[str, Any]:
    """A preset for a text, with what was given instead. Raises OptionError for a preset that there is not.

    Where `steps` alone end the run, no clock has a say: `speed` is not asked.
    """
    check(preset)
    repeatable = "steps" in given and "time_budget_s" not in given
    measure = assumed if repeatable else speed
    return with_given(PRESETS[preset](num_chars, vocab_size, given.get("time_budget_s"), measure, given), given)


def unwatched(num_chars: int, chosen: Mapping[str, Any], given: Mapping[str, Any]) -> bool:
    """Whether a preset that holds some of a text out does not, as the text is too short."""
    return num_chars < SHORTEST_HELD_OUT and "steps" in chosen and not given.keys() & {"steps", "validation_fraction"}


def with_given(base: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """Settings with others instead. `steps` alone end a run: ends that only the base knows are lifted for them."""
    lifted = {"epochs": MAX_EPOCHS, "time_budget_s": None, "patience": None} if "steps" in given else {}
    return {**base, **lifted, **given}
