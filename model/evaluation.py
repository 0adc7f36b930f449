"""How well a model predicts a text, character by character. The state starts at zero and is carried to the end."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass

import numpy as np

from model.arrays import Float64s, zero_state
from model.checkpoint import Checkpoint
from model.errors import CorpusError, OptionError
from model.text.source import check_max_chars
from model.training.backends.cpu.backend import CpuBackend

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


def evaluate(
    checkpoint: Checkpoint, text: str, num_lines: int = 5, max_chars: int | None = None, last: float = 1.0
) -> Evaluation:
    """`text` is as it was written, line ends included (`corpus.read_text`).

    The model's own rules are applied here, then max_chars and the last share are cut off it as training does: what is
    measured is what training on that file would hold out.

    Raises CorpusError where fewer than two characters are known, OptionError for a share that is none.
    """
    check_max_chars(max_chars)
    if not 0 < last <= 1:
        raise OptionError("last", f"{last} must be above 0 and at most 1")
    whole = checkpoint.rules.apply(text)[:max_chars]
    start = len(whole) - round(len(whole) * last)
    read = whole[start:]
    known = checkpoint.vocabulary.known(read)
    unknown = Counter(read) - Counter(known)
    if len(known) < 2:
        raise CorpusError(f"of the text's {len(read)} characters the model knows {len(known)}; it takes 2")
    losses = _losses(checkpoint, known)
    mean = float(losses.mean())
    lines = sorted(_lines(checkpoint, text, start, read, losses), key=lambda line: line.nats_per_char)
    return Evaluation(
        characters=len(losses),
        nats_per_char=mean,
        bits_per_char=mean / math.log(2),
        perplexity=math.exp(min(mean, 700.0)),  # beyond 700 a float has no room for it
        coverage=len(known) / len(read),
        unknown=dict(unknown.most_common()),
        worst_lines=tuple(reversed(lines[-num_lines:])),
        best_lines=tuple(lines[:num_lines]),
    )


def _losses(checkpoint: Checkpoint, known: str) -> Float64s:
    """In nats, of all characters but the first."""
    indices = checkpoint.vocabulary.encode(known)
    backend = CpuBackend(checkpoint.config, threads=1)
    backend.load(checkpoint.parameters)
    state = zero_state(checkpoint.config.state_names, 1, checkpoint.config.hidden_dim, np.float32)
    losses = np.zeros(len(indices) - 1)
    for at in range(0, len(losses), STEPS):
        to = min(at + STEPS, len(losses))
        piece, state = backend.losses(indices[None, at:to], indices[None, at + 1 : to + 1], state)
        losses[at:to] = piece[0]
    return losses


def _lines(checkpoint: Checkpoint, text: str, start: int, read: str, losses: Float64s) -> list[Line]:
    """The text's lines of at least 5 known characters with their mean losses; `read` begins at `start` of it.

    A line end is one character to the model, kept or turned into a space, so lines can be walked beside the losses.
    """
    found, at, before = [], -start, 0  # of `read`, and how many known characters stand before it there
    for line in text.replace("\r\n", "\n").replace("\r", "\n").split("\n"):
        length = len(checkpoint.rules.apply(line))
        shown = checkpoint.vocabulary.known(read[max(at, 0) : max(at + length, 0)])
        own = losses[max(before - 1, 0) : before + len(shown) - 1]
        if len(shown) >= 5:
            found.append(Line(shown, float(own.mean())))
        before += len(shown) + len(checkpoint.vocabulary.known(read[max(at + length, 0) : max(at + length + 1, 0)]))
        at += length + 1
    return found
