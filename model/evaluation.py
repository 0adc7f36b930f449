"""How well a model predicts a text, character by character. The state starts at zero and is carried to the end."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass

import numpy as np

from model.checkpoint import Checkpoint
from model.errors import CorpusError
from model.training.backend import zero_state
from model.training.bptt.backend import NumpyBackend

STEPS = 256  # characters per call


@dataclass(frozen=True)
class Line:
    text: str
    nats_per_char: float


@dataclass(frozen=True)
class Evaluation:
    characters: int  # predicted: all the model knows but the first
    nats_per_char: float
    bits_per_char: float
    perplexity: float
    coverage: float  # share of the text's characters that the model knows
    unknown: dict[str, int]  # characters it does not know, the commonest first; they are left out
    worst_lines: tuple[Line, ...]
    best_lines: tuple[Line, ...]


def evaluate(checkpoint: Checkpoint, text: str, num_lines: int = 5) -> Evaluation:
    """`text` is as it was written, line ends included; the model's own rules are applied here.

    Raises CorpusError where fewer than two characters are known.
    """
    read = checkpoint.rules.apply(text)
    known = checkpoint.vocabulary.known(read)
    unknown = Counter(read) - Counter(known)
    if len(known) < 2:
        raise CorpusError(f"of the text's {len(read)} characters the model knows {len(known)}; it takes 2")
    indices = checkpoint.vocabulary.encode(known)
    backend = NumpyBackend(checkpoint.config, threads=1)
    backend.load(checkpoint.parameters)
    state = zero_state(checkpoint.config, 1)
    losses = np.zeros(len(indices) - 1)
    for at in range(0, len(losses), STEPS):
        to = min(at + STEPS, len(losses))
        piece, state = backend.losses(indices[None, at:to], indices[None, at + 1 : to + 1], state)
        losses[at:to] = piece[0]
    mean = float(losses.mean())
    lines = sorted(_lines(checkpoint, text, losses), key=lambda line: line.nats_per_char)
    return Evaluation(
        len(losses), mean, mean / math.log(2), math.exp(mean), len(known) / len(read), dict(unknown.most_common()),
        tuple(reversed(lines[-num_lines:])), tuple(lines[:num_lines]),
    )  # fmt: skip


def _lines(checkpoint: Checkpoint, text: str, losses: np.ndarray[tuple[int, ...], np.dtype[np.float64]]) -> list[Line]:
    """The text's lines of at least 5 known characters with their mean losses.

    A line end is one character to the model, kept or turned into a space, so lines can be walked beside the losses.
    """
    found, at = [], 0
    for line in text.replace("\r\n", "\n").replace("\r", "\n").split("\n"):
        shown = checkpoint.vocabulary.known(checkpoint.rules.apply(line))
        own = losses[max(at - 1, 0) : at + len(shown) - 1]
        if len(shown) >= 5:
            found.append(Line(shown, float(own.mean())))
        end = checkpoint.rules.apply("\n")
        at += len(shown) + len(checkpoint.vocabulary.known(end))
    return found
