"""What an engine is: the same arithmetic as `predict_rnn`, for many rows at once and without the reading and choosing.

Knows nothing of characters, requests or random numbers. Shapes: K steps, N rows, V characters, S the width of a state
array as the engine keeps it (H, or H filled up with units that stay 0).

State is a tuple of float32 (N, S) NumPy arrays in the order of `ModelConfig.state_names`; rows may be taken, joined and
put in another order between calls. An engine never writes to a state it was given.
"""

from __future__ import annotations

from typing import Protocol

from model.arrays import Float32s2D, Int64s, Int64s2D, State
from model.config import ModelConfig

CHOOSE = -1  # in place of a forced input: read the character that the step before wrote


class Engine(Protocol):
    """`name` and `device` are for people; `state_dim` is S."""

    name: str
    device: str
    config: ModelConfig
    state_dim: int

    def start(self, n: int) -> State:
        """The state of n rows that have read nothing."""

    def step(self, ids: Int64s, state: State) -> tuple[Float32s2D, State]:
        """Reads one character per row, ids (N,): the logits (N, V) of the next one, and the new state."""

    def advance(self, forced: Int64s2D, last: Int64s, state: State) -> tuple[Int64s2D, State]:
        """K greedy steps: forced (K, N), last (N,) ↦ chosen (K, N), state.

        Step k reads forced[k], or where that is CHOOSE what step k − 1 chose (`last` for the first), and chooses the
        arg-max: the lowest index among equals. Reading a prefix and writing are thus the same steps.
        """
