from __future__ import annotations

import math

import numpy as np
import pytest

from model.engines import open_engine
from model.measure import measure
from model.scoring import Score, score
from tests.model.tiny import CELLS, tiny_checkpoint


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("length", [1, 2, 3, 700])
def test_a_score_is_what_one_step_after_the_other_gives(cell: str, length: int) -> None:
    engine = open_engine(tiny_checkpoint(cell, 2, 16, 30), "cpu", "onnxruntime", 1)
    indices = np.random.default_rng(length).integers(0, 30, length)
    found = score(engine, "x" * length, indices, 3).measured
    state, logits = engine.start(1), [np.zeros((0, 30), np.float32)]
    for index in indices[:-1]:
        step, state = engine.step(np.array([index]), state)
        logits.append(step)
    expected = measure(np.concatenate(logits), indices[1:], 3)
    assert all(np.array_equal(a, b) for a, b in zip(found, expected, strict=True))
    assert found.alternatives.shape == (length - 1, 3)


def test_the_figures_of_a_score_follow_from_its_log_probabilities() -> None:
    logprobs = np.log([0.5, 0.25, 0.125])
    found = Score("abcd", measure(np.zeros((3, 2), np.float32), np.zeros(3, np.int64))._replace(logprobs=logprobs))
    assert found.total == pytest.approx(math.log(1 / 64))
    assert found.perplexity == pytest.approx(4.0)
    assert found.bits_per_char == pytest.approx(2.0)
