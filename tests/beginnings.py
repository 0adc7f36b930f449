"""Models that know different things of how texts begin, and what each writes after nothing, by the readable references.

`COUNTS` is what some of them recorded of their lines.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from model.arrays import Float64s
from model.checkpoint import Checkpoint
from model.sampling.plain import choose_reference
from model.sampling.random_stream import uniform
from model.text.beginning import NEVER
from model.text.rules import TextRules
from model.text.source import DOCUMENT_END
from tests.book import Arrays, State, book_forward
from tests.models import random_checkpoint, with_parameters

COUNTS = {"分": 5, "a": 7, "不": 2, "w": 1, "b": 1}
_STARTS = {"starts": {"first_characters": COUNTS}}


@dataclass(frozen=True)
class Case:
    """read: the character behind which its texts begin; else `first` has the logits of their first character."""

    checkpoint: Checkpoint
    read: str = ""
    first: tuple[float, ...] = ()


def _model(characters: str, record: dict[str, Any], seed: int) -> Checkpoint:
    letters = "abcdefgw分开不战" + characters
    plain = random_checkpoint("gru", 1, 16, letters, seed, 4.0, TextRules(newlines="keep"))
    bias = np.random.default_rng(seed).normal(0, 1, len(plain.vocabulary)).astype(np.float32)
    return replace(with_parameters(plain, b_y=bias), training=record)


def _cases() -> dict[str, Case]:
    ended = _model(f" \n{DOCUMENT_END}", {"corpus": {"document_end": DOCUMENT_END}, **_STARTS}, seed=0)
    drawn, bare = _model(" ", _STARTS, seed=2), _model("", {}, seed=4)
    counted = [float(np.log(COUNTS[c])) if c in COUNTS else NEVER for c in drawn.vocabulary.characters]
    return {
        "document": Case(ended, DOCUMENT_END),
        "line": Case(_model(" \n", _STARTS, seed=1), "\n"),
        "drawn": Case(drawn, first=tuple(counted)),
        "space": Case(_model(" ", {}, seed=3), " "),
        "bias": Case(bare, first=tuple(bare.parameters["b_y"].tolist())),
    }


CASES = _cases()  # by what the model's texts begin with


class Writer:
    """One character after the other, one row, in float64."""

    def __init__(self, checkpoint: Checkpoint) -> None:
        self._config = checkpoint.config
        self._arrays: Arrays = {name: array.astype(np.float64) for name, array in checkpoint.parameters.items()}
        self._state: State | None = None

    def read(self, index: int) -> Float64s:
        """The logits (V,) of what follows."""
        logits, self._state = book_forward(self._config, self._arrays, np.array([[index]], np.int32), self._state)
        of_the_last: Float64s = logits[-1, 0]
        return of_the_last


def from_nothing(
    case: Case, num_chars: int, temperature: float = 0.0, top_k: int | None = None, top_p: float = 1.0, seed: int = 0
) -> tuple[str, list[float]]:
    """What a model writes after nothing, and the log-probability of each character."""
    writer, characters = Writer(case.checkpoint), case.checkpoint.vocabulary.characters
    logits = writer.read(characters.index(case.read)) if case.read else np.array(case.first)
    text, logprobs = "", []
    for position in range(num_chars):
        own = logits.astype(np.float32)
        chosen = choose_reference(own, temperature, top_k or len(own), top_p, uniform(seed, position))
        text += characters[chosen]
        logprobs.append(float(logits[chosen] - logits.max() - np.log(np.exp(logits - logits.max()).sum())))
        logits = writer.read(chosen)
    return text, logprobs
