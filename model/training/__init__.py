"""Training: from a text as indices to a checkpoint. `Trainer` does it, `run` also keeps its files."""

from model.training.optimisation.objective import grad_clipping, perplexity
from model.training.options import TrainingOptions
from model.training.presets import PRESETS, PRESETS_THAT_KEEP_CASE
from model.training.trainer import Trainer

__all__ = ["PRESETS", "PRESETS_THAT_KEEP_CASE", "Trainer", "TrainingOptions", "grad_clipping", "perplexity"]
