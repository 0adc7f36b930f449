"""`predict_rnn`: the readable reference. Everything faster is judged by its text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy.typing as npt

from model.checkpoint import Checkpoint
from model.errors import OptionError
from model.reference import cells
from model.reference.device import Context, NDArray, mx


def predict_rnn(prefix: str, num_chars: int, checkpoint: Checkpoint, ctx: Context | None = None) -> str:
    """The prefix, as the model sees it, and the num_chars characters that greedy prediction writes after it.

    One character at a time, one-hot, one row: the equations of the book and nothing else. (The chapter's function of
    this name writes num_chars + 1 new characters; this one writes num_chars.)

    Raises OptionError for an empty prefix or a negative num_chars, UnknownCharactersError for a prefix with
    characters that the model has never seen.
    """
    ctx = ctx or mx.cpu()
    config, vocabulary = checkpoint.config, checkpoint.vocabulary
    prefix = checkpoint.rules.apply(prefix)
    if not prefix:
        raise OptionError("prefix", "is empty; it must hold at least one character")
    if num_chars < 0:
        raise OptionError("num_chars", f"{num_chars} must not be negative")
    parameters = on_context(checkpoint.parameters, ctx)
    read = vocabulary.encode(prefix).tolist()
    written: list[int] = []
    state = cells.zero_state(config, 1, ctx)
    for t in range(len(read) + num_chars - 1):
        index = read[t] if t < len(read) else written[-1]
        x = cells.one_hot(mx.nd.array([index], ctx=ctx, dtype="int32"), config.vocab_size)
        H, state = cells.stack_step(config, x, state, parameters)
        if t >= len(read) - 1:
            written.append(int(cells.output(H, parameters).argmax(axis=1).asscalar()))
    return prefix + vocabulary.decode(written)


def on_context(parameters: Mapping[str, npt.NDArray[Any]], ctx: Context) -> dict[str, NDArray]:
    """Parameters as NDArrays of the same dtype on a context."""
    return {name: mx.nd.array(array, ctx=ctx, dtype=array.dtype) for name, array in parameters.items()}
