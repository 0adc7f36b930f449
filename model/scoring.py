"""How likely a model finds a text: the probability, rank and uncertainty at each of its characters.

The first character has nothing before it, so it is read and not scored.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from model.engines.interface import Engine, Indices, State
from model.measure import Measured, joined, measure


@dataclass(frozen=True)
class Score:
    """`measured` has one row for each character of `text` but the first (see `measure.Measured`)."""

    text: str
    measured: Measured

    @property
    def total(self) -> float:
        """Log-probability of the text after its first character, in nats."""
        return math.fsum(self.measured.logprobs)

    @property
    def mean(self) -> float:
        """Per scored character, in nats; 0 where there is none."""
        return self.total / max(len(self.text) - 1, 1)

    @property
    def perplexity(self) -> float:
        return math.exp(min(-self.mean, 700.0))  # beyond 700 a float has no room for it

    @property
    def bits_per_char(self) -> float:
        return -self.mean / math.log(2)


class Scorer:
    """Scores one text a few characters at a time, so that a caller can do other things in between."""

    def __init__(self, engine: Engine, indices: Indices, alternatives: int = 0) -> None:
        self._engine = engine
        self._indices = indices
        self._alternatives = alternatives
        self._state: State = engine.start(1)
        self._read = 0
        self._found: list[Measured] = []

    @property
    def done(self) -> bool:
        return self._read >= len(self._indices) - 1

    def advance(self, steps: int) -> None:
        """Scores up to so many more characters."""
        end = min(self._read + steps, len(self._indices) - 1)
        if end <= self._read:
            return
        rows = []
        for t in range(self._read, end):
            logits, self._state = self._engine.step(self._indices[t : t + 1], self._state)
            rows.append(logits)
        following = self._indices[self._read + 1 : end + 1]
        self._found.append(measure(np.concatenate(rows), following, self._alternatives))
        self._read = end

    def result(self) -> Measured:
        """Of all characters but the first, once `done`."""
        no_logits = np.zeros((0, self._engine.config.vocab_size), np.float32)
        return joined([measure(no_logits, self._indices[:0], self._alternatives), *self._found])


def score(engine: Engine, text: str, indices: Indices, alternatives: int = 0) -> Score:
    scorer = Scorer(engine, indices, alternatives)
    while not scorer.done:
        scorer.advance(256)
    return Score(text, scorer.result())
