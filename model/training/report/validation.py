"""The loss on text that training does not see: every character of it, each read with what stands before it."""

from __future__ import annotations

import numpy as np

from model.arrays import Int64s, Unsigneds, zero_state
from model.config import ModelConfig
from model.text.held_out import Split
from model.training.backend import Backend

ROWS = 16  # stretches read side by side, about
WARM_UP = 1024  # characters a stretch reads before those that count, so that its state is what one reading gives
STEPS = 64


def mean_loss(backend: Backend, config: ModelConfig, indices: Unsigneds, split: Split) -> float:
    """Nats per character over the blocks of a split, what stands before each being known.

    One row reading everything would give the same to within what a state remembers of more than WARM_UP
    characters ago, and take many times as long.
    """
    starts, ends = _rows(split)  # row r counts the labels at starts[r] … ends[r] − 1
    if split.blocks[-1][1] == len(indices):
        # As the text's end has always been read, so that figures stay what they were: all rows end together, the
        # shorter ones warm up longer, and before the text its first character is read again.
        first = ends - int((ends - starts).max()) - WARM_UP
    else:
        first = np.maximum(starts - WARM_UP, 1)
    steps = int((ends - first).max())
    state = zero_state(config.state_names, len(starts), config.hidden_dim, backend.weights.dtype)
    total = 0.0
    for t in range(0, steps, STEPS):
        at = first[:, None] + np.arange(t, min(t + STEPS, steps))  # places of the labels
        data, labels = (np.asarray(indices[np.clip(at - back, 0, len(indices) - 1)], np.int32) for back in (1, 0))
        losses, state = backend.losses(data, labels, state)
        counted = (at >= starts[:, None]) & (at < ends[:, None])
        total += float(losses[counted].sum(dtype=np.float64))
    return total / split.validation_chars


def _rows(split: Split) -> tuple[Int64s, Int64s]:
    """Where rows start and end: each block cut into equal ones."""
    starts, ends = [], []
    for start, end in split.blocks:
        count = end - start
        rows = min(-(-ROWS // len(split.blocks)), max(1, count // WARM_UP))
        edges = start + (np.arange(rows + 1) * count) // rows
        starts.append(edges[:-1])
        ends.append(edges[1:])
    return np.concatenate(starts), np.concatenate(ends)
