"""Small models with random weights. Importing this does not import MXNet, which takes a process seconds."""

from __future__ import annotations

import numpy as np

from model.checkpoint import Checkpoint
from model.config import ModelConfig
from model.text.rules import TextRules
from model.text.vocabulary import Vocabulary
from model.training.optimisation.initialise import initial_parameters

LETTERS = "abcdefghijklmnopqrstuvwxyz .,'分开不战争中部队"


def random_checkpoint(
    cell: str = "rnn",
    num_layers: int = 1,
    hidden_dim: int = 16,
    characters: str = LETTERS,
    seed: int = 0,
    scale: float = 1.0,
    rules: TextRules | None = None,
) -> Checkpoint:
    """A model with random weights; `scale` above 1 spreads its logits and makes its text less repetitive."""
    vocabulary = Vocabulary.from_text(characters)
    config = ModelConfig(cell, num_layers, hidden_dim, len(vocabulary))
    parameters = initial_parameters(config, np.random.default_rng(seed), "uniform")
    parameters = {name: (array * scale).astype(np.float32) for name, array in parameters.items()}
    return Checkpoint(config, rules or TextRules(), vocabulary, parameters, {"corpus": "random weights"})
