"""An engine of a few lines of Python, for tests of what uses one: a step costs next to nothing, and a text can be told
by hand. Its state is wider than its hidden layer, as an engine's may be."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from model.arrays import Float32s2D, Int64s, Int64s2D, State
from model.config import ModelConfig
from model.decoding.engine import CHOOSE
from model.decoding.measure import measure
from model.decoding.state_cache import StateCache

V, H, S = 7, 2, 3  # characters, hidden units, width of a state as it is kept


class PlainEngine:
    """After a character c the state's (a, b) is ((2a + c + b + 1) mod 11, a), and v = (a + 2b) mod V is likeliest."""

    name = device = "plain"
    config = ModelConfig("rnn", 1, H, V)
    state_dim = S

    def start(self, n: int) -> State:
        return (np.zeros((n, S), np.float32),)

    def step(self, ids: Int64s, state: State) -> tuple[Float32s2D, State]:
        a, b = state[0][:, 0], state[0][:, 1]
        after = np.zeros_like(state[0])
        after[:, 0], after[:, 1] = (2 * a + ids + b + 1) % 11, a
        likeliest = (after[:, 0] + 2 * after[:, 1]) % V
        return -np.abs(np.arange(V) - likeliest[:, None]).astype(np.float32), (after,)

    def advance(self, forced: Int64s2D, last: Int64s, state: State) -> tuple[Int64s2D, State]:
        chosen = np.empty_like(forced)
        for k, given in enumerate(forced):
            logits, state = self.step(np.where(given == CHOOSE, last, given), state)
            chosen[k] = last = logits.argmax(axis=1)
        return chosen, state


def state_after(read: Sequence[int]) -> tuple[int, int]:
    a = b = 0
    for c in read:
        a, b = (2 * a + c + b + 1) % 11, a
    return a, b


def greedy(prefix: Sequence[int], num_chars: int) -> list[int]:
    text = list(prefix)
    for _ in range(num_chars):
        a, b = state_after(text)
        text.append((a + 2 * b) % V)
    return text[len(prefix) :]


def decode(indices: Int64s) -> str:
    return "".join(chr(ord("a") + int(index)) for index in indices)


# What is compiled is fetched when this is read, once for whatever runs the tests many times over.
StateCache(1).longest(np.zeros(1, np.int64))
measure(np.zeros((1, V), np.float32), np.zeros(1, np.int64))
