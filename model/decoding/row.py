"""A row of the decoder: what it reads and writes, and what came of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from model.arrays import Float32s, Int32s, Int64s
from model.decoding.engine import CHOOSE
from model.decoding.measure import Measured

ALL = np.iinfo(np.int64).max  # top_k of a row without one, and "never"
RowState = tuple[Float32s, ...]  # one (S,) array per array of the engine's state


@dataclass(eq=False, slots=True)
class Row:
    """One continuation or score. The first part is given, the second filled in while it is decoded.

    - forced: at least one index; `beginning.choose_first` gives one to a row that has none.
    - num_chars: at least 1, or 0 for a score, whose `forced` has at least two indices and whose `logprobs` is not None.
    - position: of its first character in the random stream.
    - state: what was read before `forced`, None for nothing.
    - logprobs: how many alternatives to report, None for no log-probabilities at all.
    - keep_state: give `state` and `pending` at the end.
    - snapshot_at: after so many forced characters `on_snapshot` is called with the state; 0 for never.
    - done, last: steps so far and the character they ended with, while it is parked.
    """

    forced: Int64s
    num_chars: int
    temperature: float = 0.0
    top_k: int = ALL
    top_p: float = 1.0
    seed: int = 0
    position: int = 0
    state: RowState | None = None
    logprobs: int | None = None
    keep_state: bool = False
    snapshot_at: int = 0
    on_snapshot: Callable[[RowState], None] | None = None
    owner: Any = None

    written: list[Int32s] = field(default_factory=list)
    measured: list[Measured] = field(default_factory=list)
    pending: int = CHOOSE
    done: int = 0
    last: int = 0

    @property
    def steps(self) -> int:
        """How many it takes."""
        return len(self.forced) + self.num_chars - 1

    def text_indices(self) -> Int64s:
        """All that was written and collected so far."""
        return np.concatenate(self.written).astype(np.int64) if self.written else np.zeros(0, np.int64)
