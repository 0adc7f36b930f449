"""A loaded model as people use it: text in, text out. Many prefixes in one call, of any lengths.

Knows nothing of HTTP; the server decodes through `model.decoding` too, and shares `prepare` with this.

Longer than a page because `generate` and `pieces` both name every option.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from model.arrays import Int64s
from model.checkpoint import Checkpoint
from model.decoding.beginning import choose_first
from model.decoding.engine import Engine
from model.decoding.row import ALL, Row
from model.decoding.scoring import Score, score
from model.errors import OptionError, show
from model.sampling.options import MAX_SEED, Sampling
from model.seeds import draw_seed
from model.text.beginning import beginning
from model.text.boundaries import CONTEXT_CHARS, check_end, most_chars
from model.text.ending import EndWatcher
from model.writing import Text, write

MAX_CHARS = 2**53  # of one text, as positions are counted in 64 bits
UNKNOWN_RULES = ("error", "skip")


@dataclass(frozen=True)
class Generation:
    """text = prefix, as the model saw it, + generated. The seed gives the same text again; None where it was greedy.

    finish_reason: "length", "stop" for a stop string, "end" for the place that was asked for with `end`.
    """

    prefix: str
    generated: str
    seed: int | None
    finish_reason: str = "length"

    @property
    def text(self) -> str:
        return self.prefix + self.generated


@dataclass(frozen=True)
class Piece:
    """text: what was written since the piece before with the same index, which is its place in what `generate` returns.

    prefix, seed: as of a Generation. generation: the whole text, with its last piece, which may be empty; else None.
    """

    index: int
    text: str
    prefix: str
    seed: int | None
    generation: Generation | None


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
        n: int = 1,
        stop: Sequence[str] = (),
        end: str | None = None,
        temperature: float = 0.0,
        top_k: int | None = None,
        top_p: float = 1.0,
        seed: int | None = None,
        unknown: str = "error",
    ) -> list[Generation]:
        """What the model writes after each prefix, greedy unless temperature > 0: n texts, the ith with seed + i.

        Exactly num_chars new characters, or up to one of the `stop` strings. With `end`, one of ENDS, the text goes on
        to the first such place, by at most MAX_BEYOND characters.

        An empty prefix begins where a text begins.

        The same prefix and seed give the same text, alone or among others. Without a seed each prefix gets one of its
        own. Raises OptionError and UnknownCharactersError.
        """
        pieces = self.pieces(
            prefixes,
            num_chars,
            n=n,
            stop=stop,
            end=end,
            temperature=temperature,
            top_k=top_k,
            top_p=top_p,
            seed=seed,
            unknown=unknown,
        )
        whole = {piece.index: piece.generation for piece in pieces if piece.generation is not None}
        return [whole[index] for index in range(len(whole))]

    def pieces(
        self,
        prefixes: Sequence[str],
        num_chars: int = 100,
        *,
        n: int = 1,
        stop: Sequence[str] = (),
        end: str | None = None,
        temperature: float = 0.0,
        top_k: int | None = None,
        top_p: float = 1.0,
        seed: int | None = None,
        unknown: str = "error",
    ) -> Iterator[Piece]:
        """What `generate` returns, as it is written. Raises as `generate`, before the first piece is asked for."""
        if isinstance(prefixes, str):
            raise OptionError("prefixes", "is one string; give a list of them")
        if isinstance(stop, str):
            raise OptionError("stop", "is one string; give a list of them")
        for text in stop:
            if not isinstance(text, str) or not text:
                raise OptionError("stop", f"{show(text)} is not a text of at least one character")
        _check_whole("num_chars", num_chars, 0, MAX_CHARS)
        _check_whole("n", n, 1, MAX_SEED)
        check_end(end, self.vocabulary)
        sampling = Sampling(temperature, top_k, top_p, seed)
        starts = [self._start(self.prepare_prefix(prefix, unknown), sampling) for prefix in prefixes]
        return self._write(starts, num_chars, n, tuple(stop), end, sampling)

    @staticmethod
    def _start(prepared: tuple[str, Int64s], sampling: Sampling) -> _Start:
        seen, indices = prepared
        seed = None if sampling.greedy else draw_seed() if sampling.seed is None else sampling.seed
        return _Start(seen, indices, seed)

    def _write(
        self, starts: list[_Start], num_chars: int, n: int, stop: tuple[str, ...], end: str | None, sampling: Sampling
    ) -> Iterator[Piece]:
        most = most_chars(num_chars, end)
        if not most:
            for index in range(len(starts) * n):
                start, own_seed = starts[index // n], starts[index // n].seed_of(index % n)
                yield Piece(index, "", start.prefix, own_seed, Generation(start.prefix, "", own_seed))
            return

        def text(index: int) -> Text:
            start = starts[index // n]
            row = Row(
                start.indices,
                most,
                temperature=sampling.temperature,
                top_k=sampling.top_k or ALL,
                top_p=sampling.top_p,
                seed=start.seed_of(index % n) or 0,
            )
            if not len(start.indices) and self.beginning.first is not None:
                choose_first(row, self.beginning.first)
            before = self.vocabulary.decode(start.indices[-CONTEXT_CHARS:])
            return Text(index, row, EndWatcher(num_chars, stop, end, before))

        written: dict[int, list[str]] = {}
        texts = map(text, range(len(starts) * n))
        for one, piece in write(self.engine, texts, self.vocabulary.decode):
            written.setdefault(one.index, []).append(piece)
            start, own_seed = starts[one.index // n], starts[one.index // n].seed_of(one.index % n)
            generation = None
            if one.watcher.ending is not None:
                generation = Generation(start.prefix, "".join(written.pop(one.index)), own_seed, one.watcher.ending)
            yield Piece(one.index, piece, start.prefix, own_seed, generation)

    def score(self, text: str, unknown: str = "error") -> Score:
        """How likely the model finds a text, character by character. Raises as `prepare`."""
        seen, indices = self.prepare(text, unknown, field="text")
        return score(self.engine, seen, indices, clock=time.perf_counter)


@dataclass(frozen=True)
class _Start:
    """A prefix as the model sees it, its indices, and the seed of its first text: None where it is greedy."""

    prefix: str
    indices: Int64s
    seed: int | None

    def seed_of(self, number: int) -> int | None:
        return None if self.seed is None else (self.seed + number) % (MAX_SEED + 1)


def _check_whole(field: str, value: object, least: int, most: int) -> None:
    if type(value) is not int or value < least:
        raise OptionError(field, f"{show(value)} is not a whole number of at least {least}")
    if value > most:
        raise OptionError(field, f"{show(value)} is not at most {most}")


def _check_unknown(rule: str) -> None:
    if rule not in UNKNOWN_RULES:
        raise OptionError("unknown", f"{rule!r} is not one of {', '.join(UNKNOWN_RULES)}")
