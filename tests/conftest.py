"""Fixtures shared by all tests: small models with random weights, saved by the real code."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pytest

with warnings.catch_warnings():  # MXNet's import is the one place whose warnings are not ours
    warnings.simplefilter("ignore")
    import model.device  # noqa: F401

from model import checkpoint as checkpoints
from model.cells import initial_parameters
from model.checkpoint import Checkpoint
from model.config import ModelConfig
from model.corpus import TextRules
from model.vocabulary import Vocabulary
from tests.programs import pytest_terminal_summary, pytest_unconfigure

__all__ = ["pytest_terminal_summary", "pytest_unconfigure", "random_checkpoint", "saved"]

BEGIN_WITH = "test_readme.py"  # one long test: at the end it would run alone

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


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: item.path.name != BEGIN_WITH)


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    """The folder of a saved model with random weights."""
    folder = tmp_path / "tiny"
    checkpoints.save(folder, random_checkpoint(scale=3.0))
    return folder
