"""How much memory a run needs, reckoned before any of it is asked for. Knows nothing of how training is done.

A system that has no memory left ends a process without a word. NumPy notices only what is more than there could be.
"""

from __future__ import annotations

import math
from contextlib import suppress
from pathlib import Path

from model.config import ModelConfig
from model.errors import TrainingError
from model.training.options import TrainingOptions

GIB = 2**30
_FLOAT_BYTES = 4
_AT_WORK = 7  # of each parameter, beside what is saved of it
_VALIDATION = 16 * 64  # characters that validation reads at a time: rows × steps
_CGROUPS = (  # limit and use of the group of processes that this one is in, as containers see them
    ("memory.max", "memory.current"),
    ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes"),
)


def check(config: ModelConfig, options: TrainingOptions) -> None:
    """Raises TrainingError where a run needs more memory than is free."""
    needed, there = needed_bytes(config, options), free_bytes()
    if there is not None and needed > there:
        raise TrainingError(
            f"training needs about {needed / GIB:.1f} GiB of memory, {there / GIB:.1f} are free: lower --hidden-dim "
            f"(it is {options.hidden_dim:,}), --num-layers ({options.num_layers}), --batch-size "
            f"({options.batch_size:,}) or --num-steps ({options.num_steps:,})"
        )


def needed_bytes(config: ModelConfig, options: TrainingOptions) -> int:
    """About what the arrays of a run take on the CPU, without Python and its libraries.

    Of each parameter: what is saved (its value, its best so far, what the optimizer keeps, the moving average) three
    times over while a file is made of it; its gradient; and it as products and dropout have it. Of each character of a
    batch: gates, states and their gradients in each layer, and the logits.
    """
    parameters = sum(math.prod(shape) for shape in config.parameter_shapes().values())
    saved = 2 + 2 * (options.optimizer == "adam") + (options.averaging > 0)
    H, L = config.hidden_dim, config.num_layers
    per_character = L * H * (len(config.gates) + 5) + config.vocab_size
    characters = options.batch_size * options.num_steps + (_VALIDATION if options.validation_fraction else 0)
    return _FLOAT_BYTES * (parameters * (3 * saved + _AT_WORK) + characters * per_character)


def free_bytes(root: Path = Path("/")) -> int | None:
    """What can be had without swapping: of the machine, and of the container where there is one. None: not known."""
    found = [_of_machine(root / "proc" / "meminfo")]
    found += [_of_group(root / "sys" / "fs" / "cgroup", *names) for names in _CGROUPS]
    return min((number for number in found if number is not None), default=None)


def _of_machine(file: Path) -> int | None:
    with suppress(OSError, ValueError):
        for line in file.read_text("ascii").splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    return None


def _of_group(folder: Path, limit: str, use: str) -> int | None:
    """None without a limit."""
    with suppress(OSError, ValueError):
        return max(int((folder / limit).read_text("ascii")) - int((folder / use).read_text("ascii")), 0)
    return None
