"""How far a run is, and its way into JSON and back. Knows nothing of arrays or of how training is done."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field
from typing import Any

from model.errors import CheckpointError


@dataclass
class Position:
    """All of it is in a snapshot."""

    epoch: int = 0  # complete
    batch: int = 0  # done in the epoch under way
    step: int = 0  # updates in all
    seconds: float = 0.0
    epoch_seconds: float = 0.0
    eval_seconds: float = 0.0  # what the last validation with its samples took
    loss_sum: float = 0.0
    norm_sum: float = 0.0
    train_perplexity: float = math.inf  # of the last complete epoch
    # Of the best epoch so far, nats per character: on the validation text, or in training where nothing is held out.
    best_loss: float = math.inf
    best_epoch: int = 0
    rises: int = 0  # validations since
    memorised: float | None = None
    timed: bool = False  # whether a clock has had a say in what the parameters are
    changed: list[str] = field(default_factory=list)  # options that were others in an earlier part of the run
    # One row per epoch: epoch, seconds, training perplexity, validation perplexity.
    history: list[tuple[int, float, float, float | None]] = field(default_factory=list)
    stalled: float = 0.0  # the largest share of the patience that ever went by without a new best

    def to_facts(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_facts(cls, facts: dict[str, Any]) -> Position:
        """Of what `to_facts` gave, after JSON: figures that are not finite may be words. Raises CheckpointError."""
        try:
            position = cls(**facts)
            position.train_perplexity = float(position.train_perplexity)
            position.best_loss = float(position.best_loss)
            position.history = [
                (int(epoch), float(seconds), float(train), None if held_out is None else float(held_out))
                for epoch, seconds, train, held_out in position.history
            ]
        except (TypeError, ValueError) as error:
            raise CheckpointError(f"the run to resume is of another version of this program ({error})") from error
        return position
