"""A sorted list, whose end is unlike the rest: which weights are kept, and what people are told meanwhile."""

from __future__ import annotations

from functools import cache

import numpy as np

from model.text.corpus import Corpus
from model.text.encoding import encode
from model.text.rules import TextRules
from model.training import Trainer, TrainingOptions
from model.training.backend import lent
from model.training.report.events import Advice, EpochDone

SYLLABLES = [c + v for c in "bdfglmnrstvz" for v in "aeiou"]
LIKELY = 1 / np.arange(1, len(SYLLABLES) + 1)
FAIR = 100  # names that no run sees


def made_up_names(count: int) -> list[str]:
    """In no order. Those that begin with one letter sound alike."""
    rng, found = np.random.default_rng(0), set[str]()
    while len(found) < count:
        letter = int(rng.integers(26))
        own = np.random.default_rng(letter).permutation(SYLLABLES)
        middle = "".join(rng.choice(own, rng.integers(1, 4), p=LIKELY / LIKELY.sum()))
        found.add(f"{chr(65 + letter)}{middle}{rng.choice(['n', 's', '', 'la'])}")
    return [str(name) for name in rng.permutation(sorted(found))]


@cache
def run(validation: str, count: int, hidden_dim: int, rate: float, epochs: int) -> tuple[list[float], int, int | None]:
    """On a sorted list: the loss on names of which the run saw none after each epoch, each name read by itself; the
    epoch that was kept, and the one after which the text was said to be learnt by heart."""
    names = made_up_names(count + FAIR)
    corpus = encode(
        Corpus("names", "".join(f"{n}\n" for n in sorted(names[FAIR:])), ""), TextRules(False, newlines="keep")
    )
    options = TrainingOptions(
        cell="lstm", hidden_dim=hidden_dim, initialisation="scaled", num_steps=32, batch_size=16,
        sampling="consecutive", state_reset=0.05, epochs=epochs, loss_reduction="mean", optimizer="adam",
        learning_rate=rate, schedule="linear", hold=0.4, final_rate=0.02, clipping_theta=1.0, averaging=0.98,
        dropout_output=0.4, validation_fraction=0.1, validation=validation, pred_period=1000, pred_len=1, backend="cpu",
    )  # fmt: skip
    trainer = Trainer(corpus, options)
    losses: list[float] = []
    told: int | None = None
    for event in trainer.events():
        if isinstance(event, EpochDone):
            losses.append(_loss(trainer, names[:FAIR]))
        elif isinstance(event, Advice) and "by heart" in event.text:
            told = told or len(losses)
    return losses, trainer.kept_epoch, told


def _loss(trainer: Trainer, names: list[str]) -> float:
    """Nats per character, a line end before each name and behind it. The rows are filled up with line ends."""
    longest = max(map(len, names)) + 2
    ids = np.stack([trainer.corpus.vocabulary.encode(f"\n{name}".ljust(longest, "\n")) for name in names])
    with lent(trainer.backend, trainer._kept()):
        losses, _ = trainer.backend.losses(ids[:, :-1], ids[:, 1:], trainer._zero_state(len(names)))
    return float(losses[np.arange(longest - 1) <= np.array([[len(name)] for name in names])].mean())


SIZES = (600, 32, 0.03, 12)


def test_the_end_alone_keeps_early_weights_and_blocks_all_over_the_text_late_ones() -> None:
    (end, end_kept, _), (spread, spread_kept, _) = (run(validation, *SIZES) for validation in ("end", "spread"))
    assert end[end_kept - 1] > min(end) + 0.05
    assert end_kept < spread_kept
    assert spread[spread_kept - 1] < min(spread) + 0.02
    assert spread[spread_kept - 1] < end[end_kept - 1] - 0.05


def test_nobody_is_told_that_a_list_is_learnt_by_heart_while_names_not_seen_get_likelier() -> None:
    end, _, told = run("end", *SIZES)
    assert told is not None
    assert min(end[told:]) < end[told - 1] - 0.01  # what is wrong with the end
    _, _, told = run("spread", *SIZES)
    assert told is None
