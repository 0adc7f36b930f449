"""What the model in training would write, and how much of that it knows by heart."""

from __future__ import annotations

import numpy as np

from model.arrays import zero_state
from model.config import ModelConfig
from model.text.encoding import EncodedCorpus
from model.text.vocabulary import Vocabulary
from model.training.backend import Backend
from model.training.options import TrainingOptions
from model.training.report.events import Sampled

WINDOW = 20  # characters; so long a stretch seldom recurs by chance
MAX_SEARCHED = 64_000_000  # characters; past this, looking for windows would take longer than training


def samples(
    backend: Backend, config: ModelConfig, corpus: EncodedCorpus, options: TrainingOptions, epoch: int
) -> list[Sampled]:
    """What each prefix becomes with the backend's weights."""
    found = []
    for prefix in options.prefixes or default_prefixes(corpus):
        text = write(backend, config, corpus.vocabulary, corpus.rules.apply(prefix), options.pred_len)
        found.append(Sampled(epoch, prefix, text, memorised(text, corpus)))
    return found


def write(backend: Backend, config: ModelConfig, vocabulary: Vocabulary, prefix: str, num_chars: int) -> str:
    """The prefix and num_chars characters after it, the likeliest each time."""
    ids = vocabulary.encode(prefix).tolist()
    state = zero_state(config.state_names, 1, config.hidden_dim, backend.weights.dtype)
    for t in range(len(ids) + num_chars - 1):
        logits, state = backend.step(np.array([ids[t]], np.int32), state)
        if t == len(ids) - 1:
            ids.append(int(logits[0].argmax()))
    return vocabulary.decode(ids)


def default_prefixes(corpus: EncodedCorpus) -> tuple[str, ...]:
    """What to begin samples with where nobody said: the first characters of three places in the text."""
    places = (0, len(corpus.indices) // 3, 2 * len(corpus.indices) // 3)
    return tuple(dict.fromkeys(corpus.vocabulary.decode(corpus.indices[at : at + 2]) for at in places))


def memorised(text: str, corpus: EncodedCorpus, window: int = WINDOW) -> float | None:
    """The share of the text's windows that stand in the corpus; None where there is none, or the corpus is huge."""
    count = len(text) - window + 1
    if count < 1 or len(corpus.indices) > MAX_SEARCHED:
        return None
    ids = corpus.vocabulary.encode(text).astype(corpus.indices.dtype)
    haystack = corpus.indices.tobytes()
    found = sum(_stands_in(ids[i : i + window].tobytes(), haystack, ids.itemsize) for i in range(count))
    return found / count


def _stands_in(needle: bytes, haystack: bytes, width: int) -> bool:
    at = haystack.find(needle)
    while at >= 0 and at % width:  # a hit between two indices is none
        at = haystack.find(needle, at + 1)
    return at >= 0
