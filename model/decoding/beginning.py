"""The first character of a text that continues nothing, where no step of the model writes it."""

from __future__ import annotations

import numpy as np

from model.arrays import Float32s
from model.decoding.measure import measure
from model.decoding.row import Row
from model.sampling.rows import choose


def choose_first(row: Row, logits: Float32s) -> None:
    """Chooses the first character of a row that reads nothing from logits (V,), with its options, as a step would.

    The row has then written it, and reads it where it goes on: `row.steps` is 0 where that was all.
    """
    assert not len(row.forced), "a row that reads something begins behind it"
    assert row.num_chars > 0
    own, chosen = logits[None], np.zeros(1, np.int64)
    temperature, top_p = np.array([row.temperature]), np.array([row.top_p])
    top_k, seed, position = np.array([row.top_k]), np.array([row.seed]), np.array([row.position])
    if not choose(own, 0, np.zeros(1, np.int64), temperature, top_k, top_p, seed, position, chosen):
        raise FloatingPointError("the logits of the first character are not finite")
    row.forced = chosen
    row.written.append(chosen.astype(np.int32))
    if row.logprobs is not None:
        row.measured.append(measure(own, chosen, row.logprobs))
    row.num_chars -= 1
    row.position += 1
