"""Small models with random weights, for tests of what runs models."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from model.checkpoint import Checkpoint
from model.config import ModelConfig
from model.text.rules import TextRules
from model.text.vocabulary import Vocabulary

CELLS = ("rnn", "gru", "lstm")


def tiny_checkpoint(
    cell: str = "rnn", num_layers: int = 1, hidden_dim: int = 17, vocab_size: int = 23, seed: int = 0
) -> Checkpoint:
    """Weights large enough that the texts of different prefixes differ."""
    config = ModelConfig(cell, num_layers, hidden_dim, vocab_size)
    rng = np.random.default_rng(seed)
    parameters = {
        name: rng.normal(0, 2 / np.sqrt(hidden_dim) if len(shape) == 2 else 0.3, shape).astype(np.float32)
        for name, shape in config.parameter_shapes().items()
    }
    vocabulary = Vocabulary(chr(0x4E00 + index) for index in range(vocab_size))
    return Checkpoint(config, TextRules(), vocabulary, parameters, digest=f"{seed:064x}")


def with_parameters(checkpoint: Checkpoint, **changes: np.ndarray) -> Checkpoint:
    return replace(checkpoint, parameters={**checkpoint.parameters, **changes})


def random_prefix(checkpoint: Checkpoint, rng: np.random.Generator, longest: int = 12) -> str:
    length = int(rng.integers(1, longest + 1))
    return checkpoint.vocabulary.decode(rng.integers(0, len(checkpoint.vocabulary), length))
