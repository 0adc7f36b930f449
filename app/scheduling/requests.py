"""What is asked of the scheduler and what it answers, with the bounds of both.

Indices, not text, go in: the prefix was read and normalised before. Knows nothing of HTTP or of threads.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from model.arrays import Float32s, Int64s
from model.decoding.measure import Measured
from model.sampling.options import Sampling
from model.text.boundaries import most_chars

ROW_BYTES = 4096  # of a continuation without its characters
TEXT_BYTES = 16  # of a character: its index, the character, and its JSON
MEASURED_BYTES = 24  # of what is measured of one: two float64, an int32 and their share of arrays
ALTERNATIVE_BYTES = 12  # of each of its alternatives: an int32 and a float64
CHUNK_BYTES = 400  # of a chunk without what is in it
MAX_STOPS, MAX_STOP_CHARS = 4, 100
MAX_N, MAX_LOGPROBS = 16, 20
MAX_INTEGER = 2**53


@dataclass(frozen=True)
class Continuation:
    """Where a text was left: the state before its last character was read, and that character.

    arrays: one (H,) array per name in `ModelConfig.state_names`. pending: None where nothing was read, as a stop string
    took away all of a text that continued nothing. position: of the next character in the random stream.
    """

    arrays: tuple[Float32s, ...]
    pending: int | None
    position: int


@dataclass(frozen=True)
class GenerateRequest:
    """prefix: at least one index (int64), or empty where `state` or `first` is given. num_chars: at least 1.

    sampling: with its seed, unless greedy; choice i of `n` is written with seed + i. stop: none of them empty.
    end: where the text ends, at num_chars or beyond; one of ENDS that the model knows, None for there.
    logprobs: how many alternatives per character, None for no log-probabilities. stream: chunks are wanted.
    first: logits (V,), of which each choice chooses its first character, where there is nothing to be read before it.
    timeout_s: from now until the answer must be there. caller: who takes turns with others, whatever names them.
    """

    prefix: Int64s = field(repr=False)
    num_chars: int
    sampling: Sampling = Sampling()  # noqa: RUF009 - frozen
    n: int = 1
    stop: tuple[str, ...] = field(default=(), repr=False)
    end: str | None = None
    logprobs: int | None = None
    state: Continuation | None = None
    first: Float32s | None = field(default=None, repr=False)
    return_state: bool = False
    stream: bool = False
    timeout_s: float | None = None
    caller: str = ""

    @property
    def most_chars(self) -> int:
        """How many characters a continuation has at most, and how many its row writes."""
        return most_chars(self.num_chars, self.end)

    @property
    def answer_bytes(self) -> int:
        """The most that it and its answer take in memory, about."""
        written = self.n * (ROW_BYTES + self.most_chars * _bytes_per_character(self.logprobs))
        return len(self.prefix) * TEXT_BYTES + written


@dataclass(frozen=True)
class ScoreRequest:
    """The answer is a `Measured` of all characters of `indices` but the first."""

    indices: Int64s = field(repr=False)
    alternatives: int = 0
    timeout_s: float | None = None
    caller: str = ""

    @property
    def answer_bytes(self) -> int:
        """As of a GenerateRequest."""
        return ROW_BYTES + len(self.indices) * _bytes_per_character(self.alternatives)


def _bytes_per_character(logprobs: int | None) -> int:
    return TEXT_BYTES + (0 if logprobs is None else MEASURED_BYTES + logprobs * ALTERNATIVE_BYTES)


@dataclass(frozen=True)
class Chunk:
    """New text of choice `index`, never empty. measured: a row per character where log-probabilities are wanted.

    size: about how many bytes it takes.
    """

    index: int
    text: str = field(repr=False)
    measured: Measured | None = field(repr=False)

    @property
    def size(self) -> int:
        measured = 0 if self.measured is None else sum(values.nbytes for values in self.measured)
        return CHUNK_BYTES + 4 * len(self.text) + measured


@dataclass(frozen=True)
class Written:
    """finish_reason: "length", "stop", or "end" where `end` asked for one. seed: None where it was greedy."""

    index: int
    text: str = field(repr=False)
    finish_reason: str
    seed: int | None
    measured: Measured | None = field(repr=False)
    state: Continuation | None = field(repr=False)


@dataclass(frozen=True)
class Result:
    """queue_ms: waiting for a place. decode_ms: from there to the last character of the last choice."""

    choices: tuple[Written, ...]
    queue_ms: float
    decode_ms: float
    chars_written: int
