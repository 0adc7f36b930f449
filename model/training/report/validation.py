"""The loss on text that training does not see: every character of it, each read with what stands before it."""

from __future__ import annotations

import numpy as np

from model.arrays import Unsigneds, zero_state
from model.config import ModelConfig
from model.training.backend import Backend

ROWS = 16  # stretches read side by side
WARM_UP = 1024  # characters a stretch reads before those that count, so that its state is what one reading gives
STEPS = 64


def mean_loss(backend: Backend, config: ModelConfig, indices: Unsigneds, start: int) -> float:
    """Nats per character over indices[start:], the text before `start` being known.

    One row reading everything would give the same to within what a state remembers of more than WARM_UP
    characters ago, and take ROWS times as long.
    """
    count = len(indices) - start
    rows = min(ROWS, max(1, count // WARM_UP))
    edges = start + (np.arange(rows + 1) * count) // rows  # row r counts the labels at edges[r] … edges[r + 1] − 1
    longest = int(np.diff(edges).max())
    first = edges[1:] - longest - WARM_UP  # all rows end at their edges, the shorter ones only warm up longer
    state = zero_state(config.state_names, rows, config.hidden_dim, backend.weights.dtype)
    total = 0.0
    for t in range(0, longest + WARM_UP, STEPS):
        at = first[:, None] + np.arange(t, min(t + STEPS, longest + WARM_UP))  # places of the labels
        # Before the text there is nothing: its first character is read again there, and counts nothing.
        data, labels = (np.asarray(indices[np.maximum(at - back, 0)], np.int32) for back in (1, 0))
        losses, state = backend.losses(data, labels, state)
        total += float(losses[at >= edges[:-1, None]].sum(dtype=np.float64))
    return total / count
