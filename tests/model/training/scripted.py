"""A backend of losses and gradients drawn beforehand: what a trainer makes of them can be told by hand."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from model.text.corpus import Corpus
from model.text.encoding import EncodedCorpus, encode
from model.text.rules import TextRules
from model.training import TrainingOptions
from model.training.optimisation.dropout import NO_MASKS, Masks
from model.training.trainer import Trainer

TEXT = "the quick brown fox jumps over the lazy dog; " * 12


class Scripted:
    name = "scripted"

    def __init__(self) -> None:
        self.weights = self.gradient = np.zeros(0)
        self.num_decayed = self._vocab_size = 0
        self.batches: list[tuple[Any, Any, tuple[Any, ...], Masks]] = []  # what each update was asked for
        self.measured: list[Any] = []  # the weights that a loss was asked of, without a gradient
        self.batch_losses: dict[int, float] = {}  # nats per character of a certain update, counted from 0
        self.steep: dict[int, float] = {}  # what the gradient of a certain update is multiplied by
        self.far = np.inf  # weights past this have a loss out of reach

    def load(self, parameters: Mapping[str, Any]) -> None:
        self.num_decayed = sum(array.size for array in parameters.values() if array.ndim == 2)
        self._vocab_size = parameters["b_y"].size
        ordered = sorted(parameters.values(), key=lambda array: -array.ndim)
        self.weights = np.concatenate([array.ravel() for array in ordered]).astype(np.float64)
        self.gradient = np.zeros_like(self.weights)

    def named(self, vector: Any) -> dict[str, Any]:
        return {"all": vector.copy()}

    def gradients(self, data: Any, labels: Any, state: Any, masks: Masks = NO_MASKS) -> tuple[float, Any]:
        number = len(self.batches)
        self.batches.append((data.copy(), labels.copy(), tuple(array.copy() for array in state), masks))
        loss, self.gradient[:] = scripted(number, len(self.weights))
        self.gradient *= self.steep.get(number, 1.0)
        return self.batch_losses.get(number, loss) * data.size, tuple(array + 1 for array in state)

    def losses(self, data: Any, labels: Any, state: Any) -> tuple[Any, Any]:
        self.measured.append(self.weights.copy())
        return np.full(data.shape, 1e9 if abs(self.weights).max() > self.far else loss_of(self.weights)), state

    def step(self, ids: Any, state: Any) -> tuple[Any, Any]:
        """What follows is the next character of the vocabulary, and the first after the last."""
        return np.eye(self._vocab_size)[(ids + 1) % self._vocab_size], state


def scripted(number: int, size: int) -> tuple[float, Any]:
    """The loss per character of an update and its gradient, over all characters, of a norm from 0 to 60."""
    rng = np.random.default_rng(1000 + number)
    loss, norm = rng.uniform(1, 2), rng.uniform(0, 60)
    gradient = rng.normal(size=size)
    return loss, gradient * norm / np.sqrt((gradient**2).sum())


def loss_of(weights: Any) -> float:
    """Of held-out text. It goes up and down."""
    return float(2 + np.sin(40 * weights.sum()))


def corpus(text: str = TEXT) -> EncodedCorpus:
    return encode(Corpus("test", text, "0" * 64), TextRules())


def trainer(backend: Scripted | None = None, text: str = TEXT, **options: Any) -> tuple[Trainer, Scripted]:
    backend = backend or Scripted()
    given = {"hidden_dim": 2, "num_steps": 8, "batch_size": 4, "epochs": 4, "pred_period": 1000, **options}
    return Trainer(corpus(text), TrainingOptions(**given), backend), backend
