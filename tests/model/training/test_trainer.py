from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from model import batches
from model.corpus import Corpus, TextRules
from model.encoding import EncodedCorpus, encode
from model.errors import CheckpointError, CorpusError, OptionError, TrainingError, UnknownCharactersError
from model.prediction import predict_rnn
from model.training import Trainer, TrainingOptions, events
from model.training.backend import create

TEXT = "the quick brown fox jumps over the lazy dog; " * 40
SMALL: dict[str, Any] = {
    "hidden_dim": 16, "num_steps": 8, "batch_size": 4, "epochs": 3, "optimizer": "adam", "learning_rate": 0.01,
    "loss_reduction": "mean", "initialisation": "uniform", "pred_period": 100, "pred_len": 30,
}  # fmt: skip


def corpus(text: str = TEXT) -> EncodedCorpus:
    return encode(Corpus("test", text, "0" * 64), TextRules())


def trained(**changes: Any) -> tuple[Trainer, list[events.Event]]:
    trainer = Trainer(corpus(), TrainingOptions(**{**SMALL, **changes}))
    return trainer, list(trainer.events())


def epochs_of(happened: list[events.Event]) -> list[events.EpochDone]:
    return [e for e in happened if isinstance(e, events.EpochDone)]


@pytest.mark.parametrize("backend", ["mxnet", "numpy"])
@pytest.mark.parametrize("sampling", ["random", "consecutive"])
@pytest.mark.parametrize("cell", ["rnn", "gru", "lstm"])
def test_perplexity_falls(cell: str, sampling: str, backend: str) -> None:
    _, happened = trained(cell=cell, sampling=sampling, backend=backend, epochs=2)
    first, last = epochs_of(happened)
    assert last.train_perplexity < first.train_perplexity < 2 * 29


def test_both_backends_train_to_the_same_parameters() -> None:
    ours, _ = trained(backend="numpy", cell="gru", sampling="consecutive", dropout_output=0.2)
    theirs, _ = trained(backend="mxnet", cell="gru", sampling="consecutive", dropout_output=0.2)
    for name, array in ours.checkpoint().parameters.items():
        np.testing.assert_allclose(array, theirs.checkpoint().parameters[name], atol=2e-4)


class _Watched:
    """A backend that notes which states it is given."""

    def __init__(self, inner: Any) -> None:
        self._inner, self.zero = inner, []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def gradients(self, data: Any, labels: Any, state: Any, masks: Any) -> Any:
        self.zero.append(not any(a.any() for a in state))
        return self._inner.gradients(data, labels, state, masks)


@pytest.mark.parametrize(
    ("sampling", "carry_state", "carried"),
    [("random", False, False), ("random", True, True), ("consecutive", False, True)],
)
def test_the_state_is_zero_at_each_batch_or_at_each_epoch(sampling: str, carry_state: bool, carried: bool) -> None:
    options = TrainingOptions(**{**SMALL, "epochs": 2, "sampling": sampling, "carry_state": carry_state})
    text = corpus()
    backend = _Watched(create("numpy", "cpu", Trainer(text, options).config))
    trainer = Trainer(text, options, backend)  # type: ignore[arg-type]
    list(trainer.events())
    once = [True] + [not carried] * (trainer.num_batches - 1)
    assert backend.zero == once * 2


@pytest.mark.parametrize(
    ("sampling", "precision"), [("random", "float32"), ("consecutive", "float32"), ("consecutive", "auto")]
)
def test_a_run_taken_up_from_any_snapshot_ends_with_the_same_bytes(sampling: str, precision: str) -> None:
    changes: dict[str, Any] = {
        "cell": "lstm", "sampling": sampling, "dropout_output": 0.3, "dropout_recurrent": 0.2, "averaging": 0.9,
        "validation_fraction": 0.2, "schedule": "cosine", "warmup": 0.1, "weight_decay": 0.01, "precision": precision,
    }  # fmt: skip
    whole, happened = trained(**changes)
    for stop in range(1, len(happened) - 1, 7):
        broken = Trainer(corpus(), whole.options)
        stream = broken.events()
        for _ in range(stop + 1):
            next(stream)
        arrays, facts = broken.snapshot()
        resumed = Trainer(corpus(), whole.options)
        resumed.restore({name: array.copy() for name, array in arrays.items()}, facts)
        list(resumed.events())
        ours, theirs = resumed.checkpoint().parameters, whole.checkpoint().parameters
        assert all(ours[name].tobytes() == theirs[name].tobytes() for name in theirs), stop
        assert resumed.position.best_loss == whole.position.best_loss


def test_the_same_seed_gives_the_same_bytes_and_another_seed_others() -> None:
    (a, _), (b, _), (c, _) = trained(seed=1), trained(seed=1), trained(seed=2)
    weights = [t.checkpoint().parameters["W_hh"].tobytes() for t in (a, b, c)]
    assert weights[0] == weights[1] != weights[2]


def test_a_snapshot_of_another_text_or_size_is_refused() -> None:
    trainer, _ = trained(epochs=1)
    arrays, facts = trainer.snapshot()
    other = Trainer(corpus(), TrainingOptions(**{**SMALL, "hidden_dim": 8}))
    with pytest.raises(CheckpointError, match="other settings"):
        other.restore(arrays, facts)
    with pytest.raises(CheckpointError, match="corpus"):
        other.restore(arrays, {**facts, "corpus": "1" * 64})


def test_a_loss_that_is_not_finite_stops_with_the_epoch_and_a_suggestion() -> None:
    trainer = Trainer(corpus(), TrainingOptions(**SMALL))
    trainer.backend.weights[0] = np.nan
    trainer.backend.weights[:] = np.nan
    with pytest.raises(TrainingError, match=r"epoch 1: .*--learning-rate 0.0025"):
        list(trainer.events())


def test_the_best_parameters_by_validation_are_kept_and_patience_ends_training() -> None:
    noise = "".join(np.random.default_rng(0).choice(list("abcdefgh"), 900))
    options = TrainingOptions(**{**SMALL, "hidden_dim": 64, "epochs": 200, "validation_fraction": 0.3, "patience": 4})
    trainer = Trainer(encode(Corpus("noise", noise, ""), TextRules()), options)
    happened = list(trainer.events())
    finished = happened[-1]
    assert isinstance(finished, events.Finished)
    assert (finished.reason, finished.epoch) == ("patience", finished.best_epoch + 4)
    best = min(epochs_of(happened), key=lambda e: e.validation_perplexity or math.inf)
    assert best.epoch == finished.best_epoch
    assert any(isinstance(e, events.Advice) and "by heart" in e.text for e in happened)


@pytest.mark.parametrize(("name", "advised"), [("lyrics", False), ("my.txt", True)])
def test_only_a_text_of_ones_own_brings_advice_before_training(name: str, advised: bool) -> None:
    text = encode(Corpus(name, TEXT, "0" * 64), TextRules())
    begun = Trainer(text, TrainingOptions(**{**SMALL, "hidden_dim": 256})).events()
    first_two = [next(begun), next(begun)]
    assert any(isinstance(event, events.Advice) for event in first_two) == advised


def test_request_stop_ends_after_the_batch_under_way() -> None:
    trainer = Trainer(corpus(), TrainingOptions(**SMALL))
    happened = []
    for event in trainer.events():
        happened.append(event)
        if isinstance(event, events.BatchDone):
            trainer.request_stop()
    assert [type(e).__name__ for e in happened[-2:]] == ["BatchDone", "Finished"]
    assert trainer.position.step == 1


def test_samples_are_what_the_reference_writes() -> None:
    trainer, happened = trained(prefixes=("the",), cell="lstm")
    (sample,) = [e for e in happened if isinstance(e, events.Sampled)]
    assert sample.text == predict_rnn("the", 30, trainer.checkpoint())


def test_an_unknown_prefix_a_short_text_and_a_bad_option_are_told_before_training() -> None:
    with pytest.raises(UnknownCharactersError):
        Trainer(corpus(), TrainingOptions(**{**SMALL, "prefixes": ("é",)}))
    with pytest.raises(CorpusError, match="would fit"):
        Trainer(corpus("short text"), TrainingOptions(**SMALL))
    for field, value in {"cell": "elman", "epochs": 0, "learning_rate": math.nan, "hidden_dim": 2.5}.items():
        with pytest.raises(OptionError, match=field):
            TrainingOptions(**{field: value})


def test_an_epoch_of_the_chapter_has_seventeen_batches() -> None:
    assert batches.num_batches(20_000, 32, 35, "random") == 17


def test_the_record_tells_the_perplexities_of_every_epoch_and_thins_a_long_run() -> None:
    trainer, happened = trained(validation_fraction=0.2)
    history = trainer.checkpoint().training["history"]
    assert [(row["epoch"], row["train_perplexity"], row["validation_perplexity"]) for row in history] == [
        (e.epoch, e.train_perplexity, e.validation_perplexity) for e in epochs_of(happened)
    ]
    trainer.position.history = [(epoch, float(epoch), 2.0, None) for epoch in range(1, 1001)]
    thinned = [row["epoch"] for row in trainer.checkpoint().training["history"]]
    assert len(thinned) <= 400
    assert thinned[-1] == 1000
    assert len(set(np.diff(thinned))) == 1
