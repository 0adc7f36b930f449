"""Models with random weights for benchmarks: the arithmetic takes the same time as a trained one's."""

from __future__ import annotations

import numpy as np

from model.checkpoint import Checkpoint
from model.config import ModelConfig
from model.engines.choice import open_engine
from model.language_model import LanguageModel
from model.text.rules import TextRules
from model.text.vocabulary import Vocabulary

FIRST_CHARACTER = 0x4E00
CHAPTER = ModelConfig("rnn", 1, 256, 1465)  # the chapter's model


def random_checkpoint(config: ModelConfig) -> Checkpoint:
    rng = np.random.default_rng(0)
    scale = {"W_xh": 0.3, "W_hy": 0.1}
    parameters = {
        name: rng.normal(0, scale.get(name.split(".")[-1], 0.06), shape).astype(np.float32)
        for name, shape in config.parameter_shapes().items()
    }
    vocabulary = Vocabulary(chr(FIRST_CHARACTER + index) for index in range(config.vocab_size))
    return Checkpoint(config, TextRules(), vocabulary, parameters)


def open_model(config: ModelConfig, threads: int | None = None) -> LanguageModel:
    checkpoint = random_checkpoint(config)
    return LanguageModel(checkpoint, open_engine(checkpoint, "cpu", "onnxruntime", threads))


def prefixes(lm: LanguageModel, count: int, length: int = 2, seed: int = 0) -> list[str]:
    rng = np.random.default_rng(seed)
    return [lm.vocabulary.decode(rng.integers(0, len(lm.vocabulary), length)) for _ in range(count)]
