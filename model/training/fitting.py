"""A batch that fits a short text: fewer rows of fewer characters, where nobody said how many. Knows nothing of presets.

N rows (batch_size) of T characters (num_steps).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from model.text.batches import num_batches

SHORTEST = 80  # characters to train on: of 100 some may be held out
FEWEST_STEPS = 8
FEW_BATCHES = 20  # of an epoch; below, the ends of rows that fill no batch are much of the text


def fitted(
    settings: Mapping[str, Any], given: Mapping[str, Any], num_training: int, even: bool = False
) -> dict[str, Any]:
    """Settings whose batch the text fills, by batch_size and num_steps that were not given.

    `even`: where it fills but a few, the steps are cut so that batches end where the rows do. A text below SHORTEST,
    and one for which what was given is too large, is left to `batches.check_length` to refuse.
    """
    rows, steps, sampling = settings["batch_size"], settings["num_steps"], settings["sampling"]
    batches = num_batches(num_training, rows, steps, sampling)
    if batches == 0 and num_training >= SHORTEST:
        rows, steps = _smaller(rows, steps, given, num_training)
    elif even and 0 < batches < FEW_BATCHES and sampling == "consecutive" and "num_steps" not in given:
        steps = _even(num_training // rows - 1, steps)
    return {**settings, "batch_size": rows, "num_steps": steps}


def _smaller(rows: int, steps: int, given: Mapping[str, Any], num_training: int) -> tuple[int, int]:
    if "num_steps" not in given:
        share = num_training // given["batch_size"] - 1 if "batch_size" in given else num_training // 8
        steps = min(steps, max(_power_of_two(share), 1 if "batch_size" in given else FEWEST_STEPS))
    if "batch_size" not in given:
        rows = min(rows, _power_of_two(num_training // (2 * steps)))
    return rows, steps


def words(num_chars: int, num_training: int, before: Mapping[str, Any], after: Mapping[str, Any]) -> str | None:
    """What `fitted` did for a text too short for the settings before, in one line; None where it was not."""
    if before == after or num_batches(num_training, *(before[k] for k in ("batch_size", "num_steps", "sampling"))):
        return None
    return f"batch {after['batch_size']} × {after['num_steps']} steps, so that {num_chars:,} characters fill one"


def _even(length: int, steps: int) -> int:
    """At most so many steps, cut so that batches over rows of `length` leave out as little as possible."""
    return length // -(-length // steps)


def _power_of_two(number: int) -> int:
    """The largest that is not above; 1 below 1."""
    return 1 << (max(number, 1).bit_length() - 1)
