"""How likely a model finds a text: the probability, rank and uncertainty at each of its characters.

The first character has nothing before it, so it is read and not scored.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from model.arrays import Int64s
from model.decoding.decoder import BatchDecoder
from model.decoding.engine import Engine
from model.decoding.measure import Measured, empty, joined
from model.decoding.row import Row

CALL_S = 0.02  # about how long one engine call may take; nobody waits for its parts


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


def score(
    engine: Engine, text: str, indices: Int64s, alternatives: int = 0, clock: Callable[[], float] | None = None
) -> Score:
    """clock: as of a BatchDecoder."""
    if len(indices) < 2:
        return Score(text, empty((0,), min(alternatives, engine.config.vocab_size)))
    decoder = BatchDecoder(engine, clock=clock, tick_s=CALL_S)
    row = Row(indices, 0, logprobs=alternatives)
    decoder.admit(row)
    while not len(decoder.tick()):
        pass
    return Score(text, joined(row.measured))
