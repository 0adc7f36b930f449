"""How a character is chosen from logits, as a person may ask for it: temperature, top-k, top-p, seed, with bounds.

`plain` says in NumPy what is meant; `rows` does it for many rows. None of them knows where logits come from.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from model.errors import OptionError

MIN_TEMPERATURE, MAX_TEMPERATURE = 0.01, 5.0
MAX_TOP_K = 0x110000
MAX_SEED = 2**63 - 1


@dataclass(frozen=True)
class Sampling:
    """How the next character is chosen.

    - temperature: 0 writes the likeliest character each time; 0.01 … 5 draws from softmax(logits / temperature).
    - top_k: draw from the top_k likeliest only; None for all.
    - top_p: of those, draw from the fewest likeliest whose probabilities together reach top_p; above 0, up to 1 (all).
    - seed: 0 … 2⁶³ − 1; None to have one drawn.
    """

    temperature: float = 0.0
    top_k: int | None = None
    top_p: float = 1.0
    seed: int | None = None

    def __post_init__(self) -> None:
        t = self.temperature
        if not _is_number(t) or not (t == 0 or MIN_TEMPERATURE <= t <= MAX_TEMPERATURE):
            raise OptionError(
                "temperature", f"{t!r} is neither 0 (greedy) nor a number from {MIN_TEMPERATURE} to {MAX_TEMPERATURE:g}"
            )
        if self.top_k is not None and not _is_whole(self.top_k, 1, MAX_TOP_K):
            raise OptionError("top_k", f"{self.top_k!r} is not a whole number from 1 to {MAX_TOP_K}")
        if not _is_number(self.top_p) or not 0 < self.top_p <= 1:
            raise OptionError("top_p", f"{self.top_p!r} is not a number above 0 and up to 1")
        if self.seed is not None and not _is_whole(self.seed, 0, MAX_SEED):
            raise OptionError("seed", f"{self.seed!r} is not a whole number from 0 to {MAX_SEED}")

    @property
    def greedy(self) -> bool:
        return self.temperature == 0


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def _is_whole(value: object, low: int, high: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and low <= value <= high
