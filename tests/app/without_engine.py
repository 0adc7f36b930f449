"""A model as it is served, without an engine: enough for questions and for the bodies of answers."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np

from app.native import tokens
from app.scheduling.requests import Continuation
from model.text.beginning import Beginning
from tests.models import random_checkpoint


class Model:
    """What a question needs of one that is served, counting how often it reads a prefix."""

    def __init__(self) -> None:
        self.checkpoint = replace(random_checkpoint("lstm", 2, 8), digest="cd" * 32)
        self.vocabulary = self.checkpoint.vocabulary
        self.prepared: list[tuple[str, str]] = []
        self.beginning = Beginning("", np.zeros(len(self.vocabulary), np.float32))
        self.served: Any = SimpleNamespace(name="tiny", lm=self)

    def prepare_prefix(self, prefix: str, unknown: str = "error") -> tuple[str, Any]:
        self.prepared.append((prefix, unknown))
        return prefix.lower(), self.vocabulary.encode(prefix.lower()).astype("int64")

    def token(self, seed: int | None, secret: bytes = b"secret", digest: str | None = None) -> str:
        return tokens.sign(continuation(), seed, digest or self.checkpoint.digest, secret)


def continuation() -> Continuation:
    return Continuation(tuple(np.full(8, i, np.float32) for i in range(4)), pending=3, position=41)
