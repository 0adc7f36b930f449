from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest

from model.config import GATES, ModelConfig
from model.training.backends.choice import open_backend
from model.training.optimisation.initialise import initial_parameters
from model.training.report.validation import WARM_UP, mean_loss

CONFIG = ModelConfig("rnn", 1, 1, 2)


class Reader:
    """A backend over a text without repeated characters: it knows each place by its character.

    A label's loss is its character. The state is the last character read and how many were read since the state was
    zero.
    """

    def __init__(self, length: int, start: int) -> None:
        self.weights = np.zeros(1, np.float32 if start % 2 else np.float64)
        self._length, self._start = length, start
        self.counted = np.zeros(length + 1, int)
        self.read_before = np.full(length + 1, -1)

    def losses(self, data: Any, labels: Any, state: tuple[Any, ...]) -> tuple[Any, tuple[Any, ...]]:
        (memory,) = state
        assert memory.shape[1] == 2 or (not memory.any() and memory.dtype == self.weights.dtype)
        memory = np.concatenate([memory, np.zeros((len(data), 1))], axis=1) if memory.shape[1] == 1 else memory
        last, count = memory[:, 0].copy(), memory[:, 1].copy()
        for t in range(data.shape[1]):
            going_on = count > 0
            assert (data[going_on, t] == np.maximum(last, 1)[going_on]).all(), "a row skipped or repeated a character"
            count += labels[:, t] > 1  # before the text there is nothing to read
            real = labels[:, t] > 1
            assert (data[real, t] == labels[real, t] - 1).all()
            last = np.where(labels[:, t] > 1, labels[:, t], last)
            self.read_before[labels[:, t]] = count - 1  # without itself
        return labels.astype(np.float32), (np.stack([last, count], axis=1),)


@pytest.mark.parametrize(
    ("length", "start"),
    [(2, 1), (40, 30), (1030, 6), (3000, 900), (2048 + 100, 100), (17 * 1024 + 345, 345), (40_000, 36_001), (5000, 1)],
)
def test_every_held_out_character_counts_once_with_enough_before_it(length: int, start: int) -> None:
    text = np.arange(1, length + 1, dtype=np.uint32)  # its characters are 1 … length
    reader = Reader(length, start)
    # The mean over distinct numbers tells a character that is left out, and one that counts twice.
    found = mean_loss(reader, CONFIG, text, start)  # type: ignore[arg-type]
    assert found == pytest.approx(text[start:].mean(), rel=1e-12)
    for place in range(start, length):
        assert reader.read_before[text[place]] >= min(place - 1, WARM_UP), place


@pytest.mark.parametrize("cell", GATES)
def test_the_loss_is_that_of_one_reading_of_the_whole_text(cell: str) -> None:
    config = ModelConfig(cell, 1, 8, 11)
    backend = open_backend("cpu", "cpu", config)
    parameters = initial_parameters(config, np.random.default_rng(3), "uniform")
    backend.load({name: 2 * array for name, array in parameters.items()})
    text = np.random.default_rng(4).integers(0, 11, 5000).astype(np.uint8)
    start = 1700
    logprobs, state = [], tuple(np.zeros((1, 8), np.float32) for _ in config.state_names)
    for now, following in itertools.pairwise(text):
        logits, state = backend.step(np.array([now], np.int32), state)
        shifted = logits[0].astype(np.float64) - logits.max()
        logprobs.append(shifted[following] - math.log(np.exp(shifted).sum()))
    expected = -math.fsum(logprobs[start - 1 :]) / (len(text) - start)
    assert mean_loss(backend, config, text, start) == pytest.approx(expected, rel=1e-5)
