"""From logits to a character, plain and slow: the reference that `rows.py` is held against."""

from __future__ import annotations

import numpy as np

from model.arrays import Float32s


def choose_reference(logits: Float32s, temperature: float, top_k: int, top_p: float, uniform: float) -> int:
    """The character that a row of logits (V,) and a random number in [0, 1) give. top_k at least V means all.

    Characters are ranked by logit, equal ones by index. Of the kept ones, in the order of their indices, the first is
    chosen at which the running sum of probabilities exceeds `uniform` of the whole.
    """
    values = logits.astype(np.float64)
    if temperature == 0:
        return int(np.argmax(values))
    weights = np.exp((values - values.max()) / temperature)
    ranked = np.argsort(-values, kind="stable")[:top_k]
    if top_p < 1:
        running = np.cumsum(weights[ranked])
        whole = np.cumsum(weights)[-1] if top_k >= len(values) else running[-1]
        ranked = ranked[: int(np.searchsorted(running, top_p * whole)) + 1]
    kept = np.sort(ranked)
    running = np.cumsum(weights[kept])
    return int(kept[np.searchsorted(running, uniform * running[-1], side="right")])
