"""What the training loop asks of whatever computes losses and gradients.

All parameters lie in one flat vector in an order of the backend's own; `named` gives them the book's names and
shapes. N rows, T steps, H hidden units, V characters; a state is a tuple of (N, H) arrays.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from model.config import ModelConfig
from model.training.optimisation.dropout import NO_MASKS, Masks

Vector = npt.NDArray[np.floating[Any]]
State = tuple[npt.NDArray[np.floating[Any]], ...]
Batch = npt.NDArray[np.int32]  # (N, T)


class Backend(Protocol):
    name: str
    weights: Vector
    gradient: Vector  # of the sum of the last batch's losses
    num_decayed: int  # the first so many places are matrices, the rest biases

    def gradients(self, data: Batch, labels: Batch, state: State, masks: Masks = NO_MASKS) -> tuple[float, State]:
        """The sum of the batch's losses (nats) and the state behind it; fills `gradient`."""

    def losses(self, data: Batch, labels: Batch, state: State) -> tuple[npt.NDArray[np.floating[Any]], State]:
        """The loss (nats) of each character, shape (N, T), and the state behind them; nothing is hidden."""

    def step(self, ids: npt.NDArray[np.int32], state: State) -> tuple[npt.NDArray[np.floating[Any]], State]:
        """Logits (N, V) of what follows the characters `ids`, shape (N,), and the new state."""

    def load(self, parameters: Mapping[str, npt.NDArray[Any]]) -> None:
        """Puts parameters under the book's names into `weights`."""

    def named(self, vector: Vector) -> dict[str, npt.NDArray[np.float32]]:
        """A copy of a vector laid out like `weights`, under the book's names."""


def zero_state(config: ModelConfig, N: int, dtype: Any = np.float32) -> State:
    return tuple(np.zeros((N, config.hidden_dim), dtype) for _ in config.state_names)


@contextlib.contextmanager
def lent(backend: Backend, weights: Vector) -> Iterator[None]:
    """Lends a backend other weights for the length of a `with` block."""
    own = backend.weights.copy()
    backend.weights[:] = weights
    try:
        yield
    finally:
        backend.weights[:] = own
