"""What a training run tells whoever watches it. Plain facts; how they look is the watcher's business."""

from __future__ import annotations

from dataclasses import dataclass

from model.config import ModelConfig


@dataclass(frozen=True)
class Started:
    """The text is `training_chars`, `validation_chars` and `margin_chars`, which are in neither: see `held_out`."""

    config: ModelConfig
    backend: str
    num_parameters: int
    training_chars: int
    validation_chars: int
    margin_chars: int
    num_batches: int  # per epoch
    epoch: int  # complete epochs so far: above 0 in a resumed run


@dataclass(frozen=True)
class BatchDone:
    epoch: int  # from 1
    batch: int  # from 1, within the epoch
    progress: float  # share of the run that is over, 0 … 1
    perplexity: float  # of the epoch so far
    chars_per_second: float  # of the epoch so far


@dataclass(frozen=True)
class EpochDone:
    """One line of metrics.jsonl. The epoch in which a run diverged has one too, its figures as they were by then."""

    epoch: int
    epoch_seconds: float
    chars_per_second: float
    train_perplexity: float
    validation_perplexity: float | None
    learning_rate: float
    grad_norm: float  # mean over the epoch, before clipping
    memorised: float | None  # of the samples written after this epoch
    best: bool  # these parameters are the ones to keep so far
    seconds: float  # since training began


@dataclass(frozen=True)
class Sampled:
    epoch: int
    prefix: str
    text: str
    memorised: float | None  # share of windows that stand in the corpus; None where the text is shorter than one


@dataclass(frozen=True)
class Advice:
    text: str


@dataclass(frozen=True)
class Finished:
    reason: str  # epochs | steps | time | patience | stopped | diverged
    epoch: int  # complete
    seconds: float
    best_epoch: int  # whose parameters the checkpoint holds; 0 after divergence: there is none


Event = Started | BatchDone | EpochDone | Sampled | Advice | Finished
