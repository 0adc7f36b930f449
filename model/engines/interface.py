"""What an engine is: the same arithmetic as `predict_rnn`, for many rows at once and without the reading and choosing.

Knows nothing of characters, requests or random numbers. Shapes: K steps, N rows, V characters, S the width of a state
array as the engine keeps it (H, or H filled up with units that stay 0).

State is a tuple of float32 (N, S) NumPy arrays in the order of `ModelConfig.state_names`; rows may be taken, joined and
put in another order between calls. An engine never writes to a state it was given.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import numpy as np
import numpy.typing as npt

from model.config import ModelConfig
from model.errors import CheckpointError

Floats = npt.NDArray[np.float32]
Indices = npt.NDArray[np.int64]
State = tuple[Floats, ...]

CHOOSE = -1  # in place of a forced input: read the character that the step before wrote


class Engine(Protocol):
    """`name` and `device` are for people; `state_dim` is S."""

    name: str
    device: str
    config: ModelConfig
    state_dim: int

    def start(self, n: int) -> State:
        """The state of n rows that have read nothing."""

    def step(self, ids: Indices, state: State) -> tuple[Floats, State]:
        """Reads one character per row, ids (N,): the logits (N, V) of the next one, and the new state."""

    def advance(self, forced: Indices, last: Indices, state: State) -> tuple[Indices, State]:
        """K greedy steps: forced (K, N), last (N,) ↦ chosen (K, N), state.

        Step k reads forced[k], or where that is CHOOSE what step k − 1 chose (`last` for the first), and chooses the
        arg-max: the lowest index among equals. Reading a prefix and writing are thus the same steps.
        """


def zero_state(engine: Engine, n: int) -> State:
    return tuple(np.zeros((n, engine.state_dim), np.float32) for _ in engine.config.state_names)


def refuse_overflow(config: ModelConfig, parameters: Mapping[str, npt.NDArray[np.float32]]) -> None:
    """Raises CheckpointError where finite parameters could still give sums that are not.

    Every output of a cell lies in [−1, 1], so |b| + Σ|W| over a column bounds every sum that column can ever give. A
    model that passes cannot produce an infinity or a NaN, and no step needs to look for one.
    """
    bounds: dict[str, npt.NDArray[np.float64]] = {}
    for name, array in parameters.items():
        magnitude = np.abs(array.astype(np.float64))
        prefix, _, rest = name.rpartition(".")
        column = f"{prefix}.{rest[-1]}"  # W_xi, W_hi and b_i add up in one sum; so do W_hy and b_y
        bounds[column] = bounds.get(column, 0.0) + (magnitude.sum(axis=0) if magnitude.ndim == 2 else magnitude)
    for column, bound in bounds.items():
        if bound.max() > np.finfo(np.float32).max:
            raise CheckpointError(
                f"the weights of {column.strip('.')} are so large that a sum can overflow float32 "
                f"(up to {bound.max():.3g}); this model cannot be run"
            )
    assert config.vocab_size == len(parameters["b_y"])
