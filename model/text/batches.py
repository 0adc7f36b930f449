"""The chapter's two ways to cut a sequence of indices into minibatches.

Both yield pairs of data and labels, each of shape (N, T) = (batch_size, num_steps); labels are the data one step on.
They read a text by place alone, so that it may be the stretches between what is held out.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from model.arrays import Unsigneds, Unsigneds2D
from model.errors import CorpusError
from model.text.held_out import Joined


def data_iter_random(
    corpus_indices: Unsigneds | Joined, batch_size: int, num_steps: int, rng: np.random.Generator
) -> Iterator[tuple[Unsigneds2D, Unsigneds2D]]:
    """Each example is a stretch of num_steps characters; the examples come in random order.

    Neighbouring batches are unrelated, so the state starts from zero at each. Every example is seen once per epoch,
    but for the last `num_examples % batch_size` of the order drawn, which do not fill a batch.
    """
    # The label of the last character is one place on, hence the − 1.
    num_examples = (len(corpus_indices) - 1) // num_steps
    order = rng.permutation(num_examples)
    for i in range(num_examples // batch_size):
        starts = order[i * batch_size : (i + 1) * batch_size, None] * num_steps + np.arange(num_steps)
        yield corpus_indices[starts], corpus_indices[starts + 1]


def data_iter_consecutive(
    corpus_indices: Unsigneds | Joined, batch_size: int, num_steps: int
) -> Iterator[tuple[Unsigneds2D, Unsigneds2D]]:
    """Row n of each batch goes on where row n of the batch before ended, so the state can be carried."""
    batch_len = len(corpus_indices) // batch_size
    first = np.arange(batch_size)[:, None] * batch_len + np.arange(num_steps)
    for i in range((batch_len - 1) // num_steps):
        places = first + i * num_steps
        yield corpus_indices[places], corpus_indices[places + 1]


def num_batches(length: int, batch_size: int, num_steps: int, sampling: str) -> int:
    """Batches in one epoch over `length` characters."""
    if sampling == "random":
        return (length - 1) // num_steps // batch_size
    return (length // batch_size - 1) // num_steps


def check_length(length: int, batch_size: int, num_steps: int, sampling: str) -> None:
    """Raises CorpusError, with settings that would fit, where the text does not fill one batch."""
    if num_batches(length, batch_size, num_steps, sampling) > 0:
        return
    needed = batch_size * num_steps + 1 if sampling == "random" else batch_size * (num_steps + 1)
    message = f"the text has {length} characters; batch_size {batch_size} with num_steps {num_steps} needs {needed}"
    if length < 2:
        raise CorpusError(f"{message}, and no setting fits fewer than 2")
    steps = min(num_steps, max(1, (length - 1) // 2))
    fits = next(n for n in range(batch_size, 0, -1) if num_batches(length, n, steps, sampling) > 0)
    raise CorpusError(f"{message}; batch_size {fits} with num_steps {steps} would fit")
