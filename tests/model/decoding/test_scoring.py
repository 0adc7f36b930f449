from __future__ import annotations

import math

import numpy as np
import pytest

from model.decoding.measure import measure
from model.decoding.scoring import Score, score
from model.engines.choice import open_engine
from tests.measured import same_measures
from tests.model.plain_engine import PlainEngine, V, greedy
from tests.models import CELLS, tiny_checkpoint


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
    assert same_measures(found, expected)
    assert found.alternatives.shape == (length - 1, 3)


def test_the_figures_of_a_score_follow_from_its_log_probabilities() -> None:
    logprobs = np.log([0.5, 0.25, 0.125])
    found = Score("abcd", measure(np.zeros((3, 2), np.float32), np.zeros(3, np.int64))._replace(logprobs=logprobs))
    assert found.total == pytest.approx(math.log(1 / 64))
    assert found.perplexity == pytest.approx(4.0)
    assert found.bits_per_char == pytest.approx(2.0)
    assert Score("ab", found.measured._replace(logprobs=logprobs[:1])).perplexity == pytest.approx(2.0)


def test_a_text_of_one_character_has_nothing_to_be_surprised_at() -> None:
    engine = PlainEngine()
    for wanted, there in ((2, 2), (V + 5, V)):
        found = score(engine, "a", np.array([0]), wanted)
        assert (found.text, found.total, found.mean, found.perplexity, found.bits_per_char) == ("a", 0, 0, 1, 0)
        assert (found.measured.logprobs.shape, found.measured.alternatives.shape) == ((0,), (0, there))


def test_a_text_that_is_next_to_impossible_still_has_a_figure() -> None:
    logprobs = np.array([-500.0, -1500.0])
    found = Score("abc", measure(np.zeros((2, 2), np.float32), np.zeros(2, np.int64))._replace(logprobs=logprobs))
    assert (found.total, found.mean) == (-2000, -1000)
    assert found.perplexity == math.exp(700)


def test_the_likeliest_text_is_no_surprise_to_an_engine_that_can_be_told() -> None:
    text = [1, *greedy([1], 30)]
    found = score(PlainEngine(), "x" * 31, np.array(text))
    assert found.measured.ranks.tolist() == [0] * 30
    assert found.measured.alternatives.shape == (30, 0)
    # Logits are minus the distance from the likeliest, v: the whole is a sum over both sides of it.
    sums = [sum(math.exp(-abs(other - v)) for other in range(V)) for v in text[1:]]
    assert found.measured.logprobs == pytest.approx([-math.log(whole) for whole in sums])
    assert found.perplexity == pytest.approx(math.prod(sums) ** (1 / 30))
