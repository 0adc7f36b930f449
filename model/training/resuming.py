"""Which options a run may go on with. Knows nothing of files or arrays.

Nobody notices from a model that its second half was trained otherwise than its first, so a run goes on as it began:

- FREE options leave the parameters as they are: when to save, what to write samples of, and by which name a device,
  a backend or a precision was asked for (what really computes is compared by its own name).
- LENGTH options say when the run ends. They may differ, as going on for longer is what resuming is for; where the
  learning rate falls over the run, it falls over the length that is given now.
- FIXED options may never differ. Another `validation_fraction` or `validation` would measure on text that was trained
  on, or compare figures of two texts; the others fix what a snapshot holds and what its place in the text means.
- All others may differ where somebody insists.

The record of a run names every option but the FREE ones that changed on its way.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from model.errors import CheckpointError

FREE = frozenset({"save_every_s", "prefixes", "pred_len", "pred_period", "device", "backend", "precision"})
LENGTH = frozenset({"epochs", "steps", "time_budget_s", "patience"})
FIXED = frozenset(
    {"validation_fraction", "validation", "cell", "num_layers", "hidden_dim", "batch_size", "num_steps", "optimizer"}
)


def changes(before: Mapping[str, Any], now: Mapping[str, Any], override: bool = False) -> list[str]:
    """The options that matter and differ between a run so far and the rest of it, sorted.

    An option that only one of them knows counts as None. Raises CheckpointError that names each option which may not
    differ, with both values.
    """
    differing = sorted(name for name in before.keys() | now.keys() if before.get(name) != now.get(name))
    never = [name for name in differing if name in FIXED]
    insisted = [name for name in differing if name not in FIXED | FREE | LENGTH]
    groups = ((never, "no run can go on with that"), ([] if override else insisted, "--override goes on nevertheless"))
    refused = [
        f"{', '.join(f'{name} was {_shown(before.get(name))}, now {_shown(now.get(name))}' for name in names)} ({way})"
        for names, way in groups
        if names
    ]
    if refused:
        raise CheckpointError(
            f"the run to resume has other settings: {'; '.join(refused)}; --overwrite begins a new run"
        )
    return [name for name in differing if name not in FREE]


def _shown(value: Any) -> str:
    return "off" if value is None else f"{value}"
