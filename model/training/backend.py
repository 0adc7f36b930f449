"""What the training loop asks of whatever computes losses and gradients.

All parameters lie in one flat vector in an order of the backend's own; `named` gives them the book's names and
shapes. N rows, T steps, H hidden units, V characters; a state is a tuple of (N, H) arrays.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from typing import Protocol

from model.arrays import Float32s, Int32s, Int32s2D, Reals, Reals2D, RealState
from model.training.optimisation.dropout import NO_MASKS, Masks


class Backend(Protocol):
    name: str
    weights: Reals
    gradient: Reals  # of the sum of the last batch's losses
    num_decayed: int  # the first so many places are matrices, the rest biases

    def gradients(
        self, data: Int32s2D, labels: Int32s2D, state: RealState, masks: Masks = NO_MASKS
    ) -> tuple[float, RealState]:
        """The sum of the batch's losses (nats) and the state behind it; fills `gradient`."""

    def losses(self, data: Int32s2D, labels: Int32s2D, state: RealState) -> tuple[Reals2D, RealState]:
        """The loss (nats) of each character, shape (N, T), and the state behind them; nothing is hidden."""

    def step(self, ids: Int32s, state: RealState) -> tuple[Reals2D, RealState]:
        """Logits (N, V) of what follows the characters `ids`, shape (N,), and the new state."""

    def load(self, parameters: Mapping[str, Reals]) -> None:
        """Puts parameters under the book's names into `weights`."""

    def named(self, vector: Reals) -> dict[str, Float32s]:
        """A copy of a vector laid out like `weights`, under the book's names."""


@contextlib.contextmanager
def lent(backend: Backend, weights: Reals) -> Iterator[None]:
    """Lends a backend other weights for the length of a `with` block."""
    own = backend.weights.copy()
    backend.weights[:] = weights
    try:
        yield
    finally:
        backend.weights[:] = own
