"""Small models with random weights, for all tests. Importing this does not import MXNet, which takes a process seconds.

`random_checkpoint` begins as training does and knows letters that people type; `tiny_checkpoint` has biases too, for
tests of what computes with them, and a vocabulary of any size.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from model.arrays import Float32s
from model.checkpoint import Checkpoint
from model.config import GATES, ModelConfig
from model.text.rules import TextRules
from model.text.vocabulary import Vocabulary
from model.training.optimisation.initialise import initial_parameters

CELLS = tuple(GATES)
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


def tiny_checkpoint(
    cell: str = "rnn", num_layers: int = 1, hidden_dim: int = 17, vocab_size: int = 23, seed: int = 0
) -> Checkpoint:
    """Weights large enough that the texts of different prefixes differ."""
    characters = "".join(chr(0x4E00 + index) for index in range(vocab_size))
    plain = random_checkpoint(cell, num_layers, hidden_dim, characters)
    rng = np.random.default_rng(seed)
    parameters = {
        name: rng.normal(0, 2 / np.sqrt(hidden_dim) if len(shape) == 2 else 0.3, shape).astype(np.float32)
        for name, shape in plain.config.parameter_shapes().items()
    }
    return replace(plain, parameters=parameters, training={}, digest=f"{seed:064x}")


def with_parameters(checkpoint: Checkpoint, **changes: Float32s) -> Checkpoint:
    return replace(checkpoint, parameters={**checkpoint.parameters, **changes})


def random_prefix(checkpoint: Checkpoint, rng: np.random.Generator, longest: int = 12) -> str:
    length = int(rng.integers(1, longest + 1))
    return checkpoint.vocabulary.decode(rng.integers(0, len(checkpoint.vocabulary), length))
