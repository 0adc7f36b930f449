from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model.config import GATES, ModelConfig
from model.text.corpus import Corpus
from model.text.encoding import encode
from model.text.held_out import Split, split
from model.text.rules import TextRules
from model.training.backends.choice import open_backend
from model.training.backends.cpu.backend import CpuBackend
from model.training.optimisation.initialise import initial_parameters
from model.training.report.validation import ROWS, STEPS, WARM_UP, mean_loss
from tests.book import book_forward

CONFIG = ModelConfig("rnn", 1, 1, 2)


def the_end(length: int, start: int) -> Split:
    return Split(length, ((start, length),), ((start, length),))


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
        self.rows = 0

    def losses(self, data: Any, labels: Any, state: tuple[Any, ...]) -> tuple[Any, tuple[Any, ...]]:
        (memory,) = state
        self.rows = len(data)
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
    found = mean_loss(reader, CONFIG, text, the_end(length, start))  # type: ignore[arg-type]
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
    assert mean_loss(backend, config, text, the_end(len(text), start)) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(
    "blocks",
    [
        ((1, 2),),
        ((40, 60), (300, 333), (500, 501)),
        ((1500, 1700), (5000, 5031), (9000, 12_000)),
        ((1025, 6000), (9000, 13_900)),
        tuple((at, at + 3500) for at in range(500, 30_000, 4000)),
        tuple((at, at + 150) for at in range(700, 13_000, 1300)),
    ],
)
def test_every_character_of_every_block_counts_once_with_enough_before_it(blocks: tuple[tuple[int, int], ...]) -> None:
    length = 40_000
    text = np.arange(1, length + 1, dtype=np.uint32)
    reader = Reader(length, 0)
    measured = np.concatenate([text[start:end] for start, end in blocks])
    found = mean_loss(reader, CONFIG, text, Split(length, blocks, blocks))  # type: ignore[arg-type]
    assert found == pytest.approx(measured.mean(), rel=1e-12)
    assert len(blocks) <= reader.rows < ROWS + len(blocks)
    for character in measured.tolist():
        place = character - 1
        assert reader.read_before[character] >= min(place - 1, WARM_UP), place


@settings(max_examples=15)
@given(
    st.sampled_from(list(GATES)), st.integers(100, 1500), st.sampled_from([0.05, 0.1, 0.25, 0.5]),
    st.sampled_from(["abcdefgh", "abcdefgh\n", "abc \n"]),
)  # fmt: skip
def test_the_loss_on_blocks_is_that_of_reading_each_by_the_books_equations(
    cell: str, length: int, fraction: float, characters: str
) -> None:
    written = "".join(np.random.default_rng(length).choice(list(characters), length))
    corpus = encode(Corpus("", written, ""), TextRules(newlines="keep"))
    config = ModelConfig(cell, 1, 4, len(corpus.vocabulary))
    parameters = initial_parameters(config, np.random.default_rng(3), "scaled")
    backend = CpuBackend(config, dtype="float64", threads=1)
    backend.load(parameters)
    parts = split(corpus, fraction, "spread")
    exact = {name: array.astype(np.float64) for name, array in parameters.items()}
    total = 0.0
    for start, end in parts.blocks:
        ids = corpus.indices[max(start - WARM_UP, 1) - 1 : end].astype(np.int32)
        Y, _ = book_forward(config, exact, ids[None, :-1])
        losses = np.log(np.exp(Y[:, 0]).sum(axis=1)) - Y[np.arange(len(ids) - 1), 0, ids[1:]]
        total += math.fsum(losses[start - end :])
    assert mean_loss(backend, config, corpus.indices, parts) == pytest.approx(total / parts.validation_chars, rel=1e-9)


def as_it_was(backend: Any, config: ModelConfig, indices: Any, start: int) -> float:
    """The loss on the text's end as versions read it that knew no other blocks."""
    count = len(indices) - start
    rows = min(ROWS, max(1, count // WARM_UP))
    edges = start + (np.arange(rows + 1) * count) // rows
    longest = int(np.diff(edges).max())
    first = edges[1:] - longest - WARM_UP
    state = tuple(np.zeros((rows, config.hidden_dim), backend.weights.dtype) for _ in config.state_names)
    total = 0.0
    for t in range(0, longest + WARM_UP, STEPS):
        at = first[:, None] + np.arange(t, min(t + STEPS, longest + WARM_UP))
        data, labels = (np.asarray(indices[np.maximum(at - back, 0)], np.int32) for back in (1, 0))
        losses, state = backend.losses(data, labels, state)
        total += float(losses[at >= edges[:-1, None]].sum(dtype=np.float64))
    return total / count


@pytest.mark.parametrize(("length", "start"), [(100, 90), (400, 200), (3000, 1900), (9000, 3333)])
def test_the_loss_on_the_end_of_a_text_is_bit_for_bit_what_it_was(length: int, start: int) -> None:
    config = ModelConfig("gru", 1, 8, 11)
    backend = CpuBackend(config, threads=1)
    backend.load(initial_parameters(config, np.random.default_rng(3), "uniform"))
    text = np.random.default_rng(length).integers(0, 11, length).astype(np.uint8)
    assert mean_loss(backend, config, text, the_end(length, start)) == as_it_was(backend, config, text, start)
