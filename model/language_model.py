"""A loaded model as people use it: text in, text out. Many prefixes in one call, of any lengths.

Knows nothing of HTTP; the server decodes through `model.decoding` too, and shares `prepare` with this.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from model.arrays import Int64s
from model.checkpoint import Checkpoint
from model.decoding.beginning import choose_first
from model.decoding.decoder import BatchDecoder
from model.decoding.engine import Engine
from model.decoding.row import ALL, Row
from model.decoding.scoring import Score, score
from model.errors import OptionError, show
from model.sampling.options import Sampling
from model.seeds import draw_seed
from model.text.beginning import beginning

MAX_ROWS = 256  # decoded at once; more wait for a place
MAX_CHARS = 2**53  # of one text, as positions are counted in 64 bits
CALL_S = 0.02  # about how long one engine call may take; nobody waits for its parts
UNKNOWN_RULES = ("error", "skip")


@dataclass(frozen=True)
class Generation:
    """text = prefix, as the model saw it, + generated. The seed gives the same text again; None where it was greedy."""

    prefix: str
    generated: str
    seed: int | None

    @property
    def text(self) -> str:
        return self.prefix + self.generated


class LanguageModel:
    def __init__(self, checkpoint: Checkpoint, engine: Engine) -> None:
        self.checkpoint = checkpoint
        self.engine = engine
        self.vocabulary = checkpoint.vocabulary
        self.beginning = beginning(checkpoint.training, checkpoint.vocabulary, checkpoint.parameters["b_y"])

    def __repr__(self) -> str:
        c = self.checkpoint.config
        shape = f"{c.cell} {c.num_layers}×{c.hidden_dim}, {c.vocab_size} characters"
        return f"<LanguageModel {shape}, {self.engine.name} on {self.engine.device}>"

    def prepare(self, prefix: str, unknown: str = "error", field: str = "prefix") -> tuple[str, Int64s]:
        """A text as the model sees it, and its indices (int64).

        unknown: "error" raises UnknownCharactersError for characters the model has never seen, "skip" leaves them out.
        Raises OptionError where nothing is left.
        """
        _check_unknown(unknown)
        seen = self.checkpoint.rules.apply(prefix)
        if unknown == "skip":
            seen = self.vocabulary.known(seen)
        if not seen:
            if not prefix:
                raise OptionError(field, "is empty; it must hold at least one character")
            raise OptionError(field, "holds no character that the model knows; it must hold at least one")
        return seen, self.vocabulary.encode(seen).astype("int64")

    def prepare_prefix(self, prefix: str, unknown: str = "error", field: str = "prefix") -> tuple[str, Int64s]:
        """What is read to continue a text: as `prepare`, but the text may be empty.

        Then the indices are that of the character after which texts begin, or none where the first character has to be
        chosen from `beginning.first`. A text of unknown characters alone is not an empty one.
        """
        if prefix:
            return self.prepare(prefix, unknown, field)
        _check_unknown(unknown)
        return "", self.vocabulary.encode(self.beginning.read).astype(np.int64)

    def generate(
        self,
        prefixes: Sequence[str],
        num_chars: int = 100,
        *,
        temperature: float = 0.0,
        top_k: int | None = None,
        top_p: float = 1.0,
        seed: int | None = None,
        unknown: str = "error",
    ) -> list[Generation]:
        """What the model writes after each prefix: exactly num_chars new characters, greedy unless temperature > 0.

        An empty prefix begins where a text begins.

        The same prefix and seed give the same text, alone or among others. Without a seed each prefix gets one of its
        own. Raises OptionError and UnknownCharactersError.
        """
        if isinstance(prefixes, str):
            raise OptionError("prefixes", "is one string; give a list of them")
        if type(num_chars) is not int or num_chars < 0:
            raise OptionError("num_chars", f"{num_chars!r} is not a whole number of at least 0")
        if num_chars > MAX_CHARS:
            raise OptionError("num_chars", f"{show(num_chars)} is not at most {MAX_CHARS}")
        sampling = Sampling(temperature, top_k, top_p, seed)
        prepared = [self.prepare_prefix(prefix, unknown) for prefix in prefixes]
        seeds = [None if sampling.greedy else draw_seed() if seed is None else seed for _ in prefixes]
        rows = []
        if num_chars:
            for (_, indices), own_seed in zip(prepared, seeds, strict=True):
                row = Row(
                    indices,
                    num_chars,
                    temperature=sampling.temperature,
                    top_k=sampling.top_k or ALL,
                    top_p=sampling.top_p,
                    seed=own_seed or 0,
                )
                if not len(indices):
                    assert self.beginning.first is not None
                    choose_first(row, self.beginning.first)
                rows.append(row)
            _decode_all(self.engine, rows)
        texts = [self.vocabulary.decode(row.text_indices()) for row in rows] or [""] * len(prepared)
        return [
            Generation(seen, generated, own_seed)
            for (seen, _), generated, own_seed in zip(prepared, texts, seeds, strict=True)
        ]

    def score(self, text: str, unknown: str = "error") -> Score:
        """How likely the model finds a text, character by character. Raises as `prepare`."""
        seen, indices = self.prepare(text, unknown, field="text")
        return score(self.engine, seen, indices, clock=time.perf_counter)


def _check_unknown(rule: str) -> None:
    if rule not in UNKNOWN_RULES:
        raise OptionError("unknown", f"{rule!r} is not one of {', '.join(UNKNOWN_RULES)}")


def _decode_all(engine: Engine, rows: list[Row]) -> None:
    decoder = BatchDecoder(engine, clock=time.perf_counter, tick_s=CALL_S)
    waiting = (row for row in rows if row.steps)
    while True:
        while len(decoder) < MAX_ROWS and (row := next(waiting, None)) is not None:
            decoder.admit(row)
        if not len(decoder):
            return
        finished = decoder.tick()
        if len(finished):
            decoder.remove(finished)
