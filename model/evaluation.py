"""How well a model predicts a text, character by character, and which passages it predicts worst and best."""

from __future__ import annotations

import hashlib
import math
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from model.arrays import Float64s, zero_state
from model.checkpoint import Checkpoint
from model.errors import CorpusError, OptionError, show
from model.text.corpus import utf8
from model.text.held_out import Spans
from model.text.rules import TextRules
from model.text.source import check_max_chars
from model.training.backends.cpu.backend import CpuBackend

STEPS = 256  # characters per call
CONTEXT = 1024  # characters that are read before a part that was held out, for what training reads there too
LONGEST = 72  # characters of a passage
SHORTEST = 5
HUGE = 1e30  # weights from here on may have sums that float32 has no room for


@dataclass(frozen=True)
class Line:
    """A line of the text, or a part of one that is longer than LONGEST; characters that are not known are left out."""

    text: str
    nats_per_char: float


@dataclass(frozen=True)
class Evaluation:
    characters: int  # predicted: all the model knows but the first; of parts that were held out, all
    nats_per_char: float
    bits_per_char: float
    perplexity: float
    coverage: float  # share of the text's characters that the model knows
    unknown: dict[str, int]  # characters it does not know, the commonest first; they are left out
    worst_lines: tuple[Line, ...]
    best_lines: tuple[Line, ...]


def evaluate(
    checkpoint: Checkpoint,
    text: str,
    num_lines: int = 5,
    max_chars: int | None = None,
    last: float = 1.0,
    held_out: bool = False,
) -> Evaluation:
    """`text` is as it was written, line ends included (`corpus.read_text`).

    The model's own rules are applied here, then max_chars and the last share are cut off it as training does. With
    `held_out` the text must be the one that the model was trained on, and what its own run held out is measured.

    The state starts at zero and is carried to the end; before a part that was held out CONTEXT characters are read.

    Raises CorpusError where fewer than two characters are known or nothing was held out, OptionError for a share that
    is none and for options that exclude each other.
    """
    check_max_chars(max_chars)
    if not 0 < last <= 1:
        raise OptionError("last", f"{last} must be above 0 and at most 1")
    if held_out and (max_chars is not None or last < 1):
        raise OptionError("held_out", "is what the model's own run held out; it goes with no max_chars and no last")
    whole = checkpoint.rules.apply(text)
    if held_out:
        whole, spans = _parts_held_out(checkpoint.training, whole)
    else:
        whole = whole[:max_chars]
        spans = ((len(whole) - round(len(whole) * last), len(whole)),)
    read = "".join(whole[start:end] for start, end in spans)
    known = checkpoint.vocabulary.known(read)
    if len(known) < 2:
        raise CorpusError(f"of the text's {len(read)} characters the model knows {len(known)}; it takes 2")
    lines = list(_lines(checkpoint.rules, text))
    reader = _Reader(checkpoint)
    losses: list[Float64s] = []
    passages: list[Line] = []
    for start, end in spans:
        before = whole[max(start - CONTEXT, 0) : start] if held_out else ""
        losses.append(reader.losses(before, whole[start:end]))
        passages += _passages(checkpoint, whole, lines, start, end, losses[-1])
    every = np.concatenate(losses)
    mean = float(every.mean())
    passages.sort(key=lambda passage: passage.nats_per_char)
    return Evaluation(
        characters=len(every),
        nats_per_char=mean,
        bits_per_char=mean / math.log(2),
        perplexity=math.exp(min(mean, 700.0)),  # beyond 700 a float has no room for it
        coverage=len(known) / len(read),
        unknown=dict((Counter(read) - Counter(known)).most_common()),
        worst_lines=tuple(reversed(passages[-num_lines:])),
        best_lines=tuple(passages[:num_lines]),
    )


def _parts_held_out(training: dict[str, Any], whole: str) -> tuple[str, Spans]:
    """The text that a model was trained on, and what of it was held out, by its record."""
    corpus, parts = training.get("corpus"), training.get("held_out")
    if not isinstance(corpus, dict) or not isinstance(parts, list) or not parts:
        raise CorpusError(
            "held_out: the model's record names no text that was held out; trained with --validation-fraction it "
            "would, and before there was --validation its end was held out (--last 0.1)"
        )
    length, digest = corpus.get("chars"), corpus.get("sha256")
    length = length if type(length) is int and length > 0 else 0
    read = whole[:length]
    if hashlib.sha256(utf8(read, "the text")).hexdigest() != digest:
        raise CorpusError(
            f"held_out: this is not the text that the model was trained on, which was {show(corpus.get('name'))} of "
            f"{length:,} characters; give it as it was given to training"
        )
    try:
        spans = tuple((int(start), int(end)) for start, end in parts)
    except (TypeError, ValueError, OverflowError):
        spans = ((0, 0),)
    if any(not 0 < start < end <= len(read) for start, end in spans):
        raise CorpusError("held_out: the model's record names parts that its text does not have")
    return read, spans


class _Reader:
    """Computes in float64 where the weights are such that float32 has no room for what comes of them."""

    def __init__(self, checkpoint: Checkpoint) -> None:
        self._vocabulary, self._config = checkpoint.vocabulary, checkpoint.config
        largest = max(max(array.max(), -array.min()) for array in checkpoint.parameters.values())
        self._backend = CpuBackend(checkpoint.config, "float64" if largest > HUGE else "float32", threads=1)
        self._backend.load(checkpoint.parameters)

    def losses(self, before: str, text: str) -> Float64s:
        """In nats, of the known characters of `text`; of all but the first where nothing known stands before it."""
        indices = self._vocabulary.encode(self._vocabulary.known(before + text))
        state = zero_state(self._config.state_names, 1, self._config.hidden_dim, self._backend.weights.dtype)
        losses = np.zeros(max(len(indices) - 1, 0))
        for at in range(0, len(losses), STEPS):
            to = min(at + STEPS, len(losses))
            piece, state = self._backend.losses(indices[None, at:to], indices[None, at + 1 : to + 1], state)
            losses[at:to] = piece[0]
        count = len(self._vocabulary.known(text))
        return losses[max(len(losses) - count, 0) :]


def _lines(rules: TextRules, text: str) -> Iterator[tuple[int, int]]:
    """Where each line of a text as it was written starts and ends once the rules are applied.

    A line end is one character to the model, kept or turned into a space.
    """
    at = 0
    for line in text.replace("\r\n", "\n").replace("\r", "\n").split("\n"):
        length = len(rules.apply(line))
        yield at, at + length
        at += length + 1


def _passages(
    checkpoint: Checkpoint, whole: str, lines: list[tuple[int, int]], start: int, end: int, losses: Float64s
) -> Iterator[Line]:
    """The passages of whole[start:end] of at least SHORTEST known characters, with their mean losses."""
    known = checkpoint.vocabulary.known
    at = len(losses) - len(known(whole[start:end]))  # of the next known character's loss; −1 for a first one
    for first, following in lines[max(bisect_right(lines, (start, end)) - 1, 0) :]:
        if first >= end:
            break
        shown = known(whole[max(first, start) : min(following, end)])
        for begin, stop in _windows(shown):
            if stop - begin >= SHORTEST:
                yield Line(shown[begin:stop], float(losses[max(at + begin, 0) : at + stop].mean()))
        at += len(shown) + len(known(whole[max(following, start) : min(following + 1, end)]))


def _windows(line: str) -> Iterator[tuple[int, int]]:
    """A line cut where it is longer than LONGEST, behind a space if there is one in the window's second half."""
    start = 0
    while len(line) - start > LONGEST:
        space = line.rfind(" ", start + LONGEST // 2, start + LONGEST)
        end = start + LONGEST if space < 0 else space + 1
        yield start, end
        start = end
    yield start, len(line)
