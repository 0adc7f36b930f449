"""The chapter's training in NumPy and float64, apart from the code under test. Gradients are numeric differences."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence

import numpy as np

from model.arrays import Int32s2D
from model.config import ModelConfig
from tests.book import Arrays, State, book_forward

Corpus = Sequence[int]
Batch = tuple[Int32s2D, Int32s2D]

# As cells pass them to rnn and lstm_rnn.
ORDER = {
    "rnn": ["W_xh", "W_hh", "b_h", "W_hy", "b_y"],
    "lstm": ["W_xi", "W_hi", "b_i", "W_xf", "W_hf", "b_f", "W_xo", "W_ho", "b_o", "W_xc", "W_hc", "b_c", "W_hy", "b_y"],
}


def weights(cell: str, hidden_dim: int, vocab_size: int, seed: int = 0) -> tuple[ModelConfig, Arrays]:
    """In the order of cells, biases too. Numbers that float32 can hold."""
    config = ModelConfig(cell, 1, hidden_dim, vocab_size)
    rng, shapes = np.random.default_rng(seed), config.parameter_shapes()
    drawn = {name: rng.normal(0, 0.8, shapes[name]).astype(np.float32) for name in ORDER[cell]}
    return config, {name: array.astype(np.float64) for name, array in drawn.items()}


def losses(config: ModelConfig, p: Arrays, batch: Batch, state: State | None) -> tuple[float, State]:
    """The sum of the losses of a batch, and the state after it."""
    data, labels = batch
    Y, state = book_forward(config, p, data, state)
    of_labels = np.take_along_axis(Y, labels.T[:, :, None], axis=2)[:, :, 0]
    return float((np.log(np.exp(Y).sum(axis=2)) - of_labels).sum()), state


def gradients(config: ModelConfig, p: Arrays, batch: Batch, state: State | None = None, step: float = 1e-5) -> Arrays:
    """Of `losses` with respect to each number of p. The state is a constant."""
    result = {name: np.empty_like(array) for name, array in p.items()}
    for name, array in p.items():
        for at in np.ndindex(array.shape):
            sides = []
            for sign in (1, -1):
                moved = array.copy()
                moved[at] += sign * step
                sides.append(losses(config, {**p, name: moved}, batch, state)[0])
            result[name][at] = (sides[0] - sides[1]) / (2 * step)
    return result


def batch_at(corpus: Corpus, starts: Sequence[int], num_steps: int) -> Batch:
    places = np.array(starts)[:, None] + np.arange(num_steps)
    indices = np.array(corpus, dtype=np.int32)
    return indices[places], indices[places + 1]


def random_batches(corpus: Corpus, batch_size: int, num_steps: int, generator: random.Random) -> Iterator[Batch]:
    starts = [start for start in range(0, len(corpus), num_steps) if start + num_steps < len(corpus)]
    generator.shuffle(starts)
    while len(starts) >= batch_size:
        yield batch_at(corpus, starts[:batch_size], num_steps)
        del starts[:batch_size]


def consecutive_batches(corpus: Corpus, batch_size: int, num_steps: int) -> Iterator[Batch]:
    length = len(corpus) // batch_size
    for start in range(0, length, num_steps):
        if start + num_steps < length:
            yield batch_at(corpus, [row * length + start for row in range(batch_size)], num_steps)


def train(
    config: ModelConfig,
    p: Arrays,
    corpus: Corpus,
    batch_size: int,
    num_steps: int,
    epochs: int,
    learning_rate: float,
    theta: float | None,
    generator: random.Random | None,
) -> tuple[Arrays, list[float]]:
    """The parameters after training, and the perplexity of each epoch. Random sampling where there is a generator."""
    perplexities = []
    for _ in range(epochs):
        state, sums, count = None, 0.0, 0
        batches = (
            random_batches(corpus, batch_size, num_steps, generator)
            if generator
            else consecutive_batches(corpus, batch_size, num_steps)
        )
        for batch in batches:
            before = None if generator else state
            loss, state = losses(config, p, batch, before)
            sums, count = sums + loss, count + batch[0].size
            gradient = gradients(config, p, batch, before)
            norm = np.sqrt(sum((array**2).sum() for array in gradient.values()))
            scale = 1.0 if theta is None else min(1.0, theta / norm)
            p = {name: array - learning_rate * scale * gradient[name] for name, array in p.items()}
        perplexities.append(float(np.exp(sums / count)))
    return p, perplexities


def greedy(config: ModelConfig, p: Arrays, prefix: Sequence[int], count: int) -> list[int]:
    """The prefix and `count` characters after it, as indices."""
    text, state = list(prefix), None
    unread = list(prefix)
    for _ in range(count):
        Y, state = book_forward(config, p, np.array([unread], dtype=np.int32), state)
        unread = [int(Y[-1, 0].argmax())]
        text += unread
    return text
