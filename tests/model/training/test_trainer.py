from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest

from model.config import GATES
from model.errors import CheckpointError, CorpusError, OptionError, TrainingError, UnknownCharactersError
from model.text import batches
from model.text.corpus import Corpus
from model.text.encoding import EncodedCorpus, encode
from model.text.rules import TextRules
from model.training import Trainer, TrainingOptions
from model.training.backends.choice import open_backend
from model.training.report import events
from tests.reference import named, needs_mxnet, predict_rnn

TEXT = "the quick brown fox jumps over the lazy dog; " * 40
SMALL: dict[str, Any] = {
    "hidden_dim": 16, "num_steps": 8, "batch_size": 4, "epochs": 3, "optimizer": "adam", "learning_rate": 0.01,
    "loss_reduction": "mean", "initialisation": "uniform", "pred_period": 100, "pred_len": 30,
}  # fmt: skip


def corpus(text: str = TEXT) -> EncodedCorpus:
    return encode(Corpus("test", text, "0" * 64), TextRules())


def trained(text: str = TEXT, **changes: Any) -> tuple[Trainer, list[events.Event]]:
    trainer = Trainer(corpus(text), TrainingOptions(**{**SMALL, **changes}))
    return trainer, list(trainer.events())


def epochs_of(happened: list[events.Event]) -> list[events.EpochDone]:
    return [e for e in happened if isinstance(e, events.EpochDone)]


@pytest.mark.parametrize("backend", [named("mxnet", slow=True), "cpu"])
@pytest.mark.parametrize("sampling", ["random", "consecutive"])
@pytest.mark.parametrize("cell", GATES)
def test_perplexity_falls(cell: str, sampling: str, backend: str) -> None:
    _, happened = trained(TEXT[: len(TEXT) // 2], cell=cell, sampling=sampling, backend=backend, epochs=2)
    first, last = epochs_of(happened)
    assert last.train_perplexity < first.train_perplexity < 2 * 29


@needs_mxnet
def test_both_backends_train_to_the_same_parameters() -> None:
    both = {"cell": "gru", "sampling": "consecutive", "dropout_output": 0.2, "epochs": 2}
    (ours, _), (theirs, _) = (trained(TEXT[: len(TEXT) // 2], backend=name, **both) for name in ("cpu", "mxnet"))
    for name, array in ours.checkpoint().parameters.items():
        np.testing.assert_allclose(array, theirs.checkpoint().parameters[name], atol=2e-4)


class _Watched:
    """A backend that notes which states it is given."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner
        self.zero: list[bool] = []

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
    backend = _Watched(open_backend("cpu", "cpu", Trainer(text, options).config))
    trainer = Trainer(text, options, backend)  # type: ignore[arg-type]
    list(trainer.events())
    once = [True] + [not carried] * (trainer.num_batches - 1)
    assert backend.zero == once * 2


NOISE = "".join(np.random.default_rng(0).choice(list("abcdefgh"), 300))  # there is nothing to learn for validation


def facts_of(trainer: Trainer) -> tuple[Any, ...]:
    """All that a run comes to but how long it took."""
    at = trainer.position
    history = [(epoch, train, held_out) for epoch, _, train, held_out in at.history]
    return (
        trainer.ended, at.epoch, at.batch, at.step, at.rises, at.best_loss, at.best_epoch, at.memorised, history,
        trainer.best.tobytes(), {name: a.tobytes() for name, a in trainer.checkpoint().parameters.items()},
    )  # fmt: skip


@pytest.mark.parametrize(
    ("sampling", "precision", "steps", "validation"),
    [
        pytest.param("random", "float32", None, 0.2, marks=pytest.mark.slow),
        ("consecutive", "float32", 27, 0.2),  # it ends within an epoch
        pytest.param("consecutive", "auto", None, 0.2, marks=pytest.mark.slow),
        pytest.param("consecutive", "float32", 27, 0.0, marks=pytest.mark.slow),
    ],
)
def test_a_run_taken_up_at_any_event_ends_with_the_same_bytes(
    sampling: str, precision: str, steps: int | None, validation: float
) -> None:
    text = corpus(NOISE)
    options = TrainingOptions(
        **{
            **SMALL, "cell": "lstm", "sampling": sampling, "dropout_output": 0.3, "dropout_recurrent": 0.2,
            "averaging": 0.9, "validation_fraction": validation, "schedule": "linear", "hold": 0.1,
            "weight_decay": 0.01, "precision": precision, "steps": steps, "epochs": 4, "pred_period": 1, "pred_len": 5,
            "learning_rate": 0.05,
        }
    )  # fmt: skip
    whole = Trainer(text, options)
    happened = list(whole.events())
    expected = facts_of(whole)
    assert {type(event).__name__ for event in happened} >= {"Started", "BatchDone", "Sampled", "EpochDone", "Finished"}
    assert whole.position.batch == 0
    if validation and steps is None:
        assert whole.position.rises > 0
    for stop in range(len(happened)):
        broken = Trainer(text, options)
        stream = broken.events()
        for _ in range(stop + 1):
            next(stream)
        arrays, facts = broken.snapshot()
        resumed = Trainer(text, options)
        resumed.restore({name: array.copy() for name, array in arrays.items()}, json.loads(json.dumps(facts)))
        list(resumed.events())
        assert facts_of(resumed) == expected, (stop, happened[stop])


def test_a_run_of_an_earlier_version_goes_on_with_what_it_held_out() -> None:
    options: dict[str, Any] = {**SMALL, "validation_fraction": 0.2, "epochs": 1}
    text = corpus(NOISE)
    begun = Trainer(text, TrainingOptions(**options, validation="end"))
    list(begun.events())
    arrays, facts = begun.snapshot()
    del facts["options"]["validation"]
    again = Trainer(text, TrainingOptions.from_record({**facts["options"], "epochs": 2}))
    again.restore(arrays, facts)
    assert again.position.step == begun.position.step
    assert again.split.blocks == begun.split.blocks == ((240, 300),)
    with pytest.raises(CheckpointError, match=r"validation was end, now spread \(no run can go on with that\)"):
        Trainer(text, TrainingOptions(**options)).restore(arrays, facts, override=True)


def test_the_same_seed_gives_the_same_bytes_and_another_seed_others() -> None:
    (a, _), (b, _), (c, _) = trained(seed=1), trained(seed=1), trained(seed=2)
    weights = [t.checkpoint().parameters["W_hh"].tobytes() for t in (a, b, c)]
    assert weights[0] == weights[1] != weights[2]


def test_steps_end_a_run_after_so_many_updates_and_the_schedule_runs_over_them() -> None:
    trainer, happened = trained(steps=70, epochs=1_000_000, schedule="linear", final_rate=0.0)
    finished = happened[-1]
    assert isinstance(finished, events.Finished)
    assert (finished.reason, trainer.position.step) == ("steps", 70)
    # The rate of an epoch's line is the one after its last update: 0.01 (1 - step / 70).
    ends = [min(trainer.num_batches * e.epoch, 70) for e in epochs_of(happened)]
    np.testing.assert_allclose([e.learning_rate for e in epochs_of(happened)], [0.01 * (1 - n / 70) for n in ends])
    again, _ = trained(steps=70, epochs=1_000_000, schedule="linear", final_rate=0.0)
    assert facts_of(again) == facts_of(trainer)
    assert trainer.checkpoint().training["repeatable"] is True
    assert trainer.checkpoint().training["ended"] == "steps"


class _Clock:
    """Each look at it is `tick` seconds later."""

    def __init__(self, tick: float) -> None:
        self.now, self.tick = 0.0, tick

    def perf_counter(self) -> float:
        self.now += self.tick
        return self.now


@pytest.mark.parametrize(
    ("options", "repeatable"),
    [
        ({"time_budget_s": 1000.0, "epochs": 2}, True),  # the budget has no say
        ({"time_budget_s": 1000.0, "epochs": 2, "schedule": "linear"}, True),
        ({"time_budget_s": 0.5, "epochs": 9}, False),  # it ends the run
        ({"time_budget_s": 2.27, "epochs": 2, "schedule": "linear"}, False),  # it is ahead, and bends the rate
        ({"time_budget_s": 2.27, "epochs": 2}, True),  # it is ahead as well, and nothing follows from it
        ({"epochs": 2}, True),
    ],
)
def test_a_record_says_whether_a_clock_had_a_say(
    options: dict[str, Any], repeatable: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One look at the clock takes 0.02 s, so that an epoch of 56 batches takes 1.14 s."""
    from model.training import trainer as module

    monkeypatch.setattr(module, "time", _Clock(0.02))
    trainer, _ = trained(**options)
    assert trainer.num_batches == 56
    assert trainer.checkpoint().training["repeatable"] is repeatable


def test_a_snapshot_of_another_text_or_size_is_refused() -> None:
    trainer, _ = trained(epochs=1)
    arrays, facts = trainer.snapshot()
    other = Trainer(corpus(), TrainingOptions(**{**SMALL, "hidden_dim": 8}))
    with pytest.raises(CheckpointError, match="hidden_dim was 16, now 8"):
        other.restore(arrays, facts)
    with pytest.raises(CheckpointError, match="is not the text that the run to resume read"):
        other.restore(arrays, {**facts, "corpus": "1" * 64})
    with pytest.raises(CheckpointError, match="by 'mxnet', this one is by 'cpu'"):
        Trainer(corpus(), trainer.options).restore(arrays, {**facts, "backend": "mxnet"})
    with pytest.raises(CheckpointError, match="of other shapes"):
        Trainer(corpus(), trainer.options).restore({**arrays, "best": arrays["best"][1:]}, facts)


def test_a_run_that_went_on_with_other_options_says_so_in_its_record() -> None:
    trainer, _ = trained(epochs=1)
    arrays, facts = trainer.snapshot()
    other = Trainer(corpus(), TrainingOptions(**{**SMALL, "epochs": 2, "learning_rate": 0.001, "pred_len": 3}))
    with pytest.raises(CheckpointError, match=r"learning_rate was 0\.01, now 0\.001 \(--override"):
        other.restore(arrays, facts)
    other.restore(arrays, facts, override=True)
    list(other.events())
    record = other.checkpoint().training
    assert (record["changed_on_resume"], record["repeatable"], record["epochs"]) == (
        ["epochs", "learning_rate"],
        False,
        2,
    )


@pytest.mark.parametrize("backend", ["cpu", named("mxnet")])
def test_a_run_that_diverges_at_once_says_what_to_lower_and_keeps_nothing(backend: str) -> None:
    trainer, happened = trained(
        learning_rate=1000.0, optimizer="sgd", loss_reduction="sum", clipping_theta=1e9, backend=backend
    )
    broken, words, finished = happened[-3:]
    assert isinstance(broken, events.EpochDone)
    assert isinstance(words, events.Advice)
    assert isinstance(finished, events.Finished)
    assert (broken.epoch, broken.best, finished.reason, finished.epoch, finished.best_epoch) == (
        1,
        False,
        "diverged",
        0,
        0,
    )
    assert not broken.train_perplexity <= 29**10
    assert "epoch 1: training has diverged" in words.text
    assert "--learning-rate 0.2 (it is 1000) or --clipping-theta 1 (it is 1e+09)" in words.text
    with pytest.raises(TrainingError, match="diverged"):
        trainer.checkpoint()


@pytest.mark.parametrize("validation_fraction", [0.0, 0.2])
def test_a_run_that_diverges_later_keeps_the_parameters_of_its_best_epoch(validation_fraction: float) -> None:
    good, _ = trained(epochs=2, validation_fraction=validation_fraction)
    wanted = good.checkpoint().parameters
    trainer = Trainer(corpus(), TrainingOptions(**{**SMALL, "epochs": 9, "validation_fraction": validation_fraction}))
    happened = []
    for event in trainer.events():
        happened.append(event)
        if isinstance(event, events.EpochDone) and event.epoch == 2:
            trainer.backend.weights[:] *= 1e4
    finished = happened[-1]
    assert isinstance(finished, events.Finished)
    assert (finished.reason, finished.epoch, finished.best_epoch) == ("diverged", 2, 2)
    checkpoint = trainer.checkpoint()
    assert all(checkpoint.parameters[name].tobytes() == wanted[name].tobytes() for name in wanted)
    record = checkpoint.training
    assert (record["ended"], record["diverged_in_epoch"], record["best_epoch"]) == ("diverged", 3, 2)


def test_what_the_last_update_did_is_looked_at_as_well() -> None:
    """Nothing is held out and no batch follows: the model that would be kept is read once."""
    trainer = Trainer(corpus(), TrainingOptions(**{**SMALL, "epochs": 1}))
    happened = []
    for event in trainer.events():
        happened.append(event)
        if isinstance(event, events.EpochDone):
            trainer.backend.weights[:] = np.inf
    finished = happened[-1]
    assert isinstance(finished, events.Finished)
    assert finished.reason == "diverged"
    assert finished.best_epoch == 1


def test_a_loss_that_is_not_finite_ends_the_run() -> None:
    trainer = Trainer(corpus(), TrainingOptions(**SMALL))
    trainer.backend.weights[:] = np.nan
    happened = list(trainer.events())
    assert isinstance(happened[-2], events.Advice)
    assert "the loss is no longer finite; try --learning-rate 0.0025" in happened[-2].text
    assert trainer.position.step == 0


def test_only_a_model_that_quotes_is_said_to_know_its_text_by_heart() -> None:
    """The sizes are the same; what differs is how long it learned."""

    def words(epochs: int) -> list[str]:
        changes: dict[str, Any] = {
            "epochs": epochs,
            "pred_period": epochs,
            "pred_len": 60,
            "hidden_dim": 64,
            "learning_rate": 0.02,
        }
        _, happened = trained(**changes, sampling="consecutive", cell="gru")
        return [e.text for e in happened if isinstance(e, events.Advice)]

    assert words(1) == []
    assert ["by heart" in text for text in words(12)] == [True]


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


def test_the_rate_falls_while_validation_does_not_improve_and_the_run_stays_repeatable() -> None:
    noise = "".join(np.random.default_rng(0).choice(list("abcdefgh"), 900))
    options = TrainingOptions(**{
        **SMALL, "hidden_dim": 64, "epochs": 1_000_000, "validation_fraction": 0.3, "patience": 4, "time_budget_s": 1e6,
        "schedule": "linear", "hold": 0.5,
    })  # fmt: skip
    trainer = Trainer(encode(Corpus("noise", noise, ""), TextRules()), options)
    happened = list(trainer.events())
    # An epoch's line has the rate before its validation: a quarter, half and three quarters of the patience are over.
    *_, second, third, last = (e.learning_rate for e in epochs_of(happened))
    assert (second, third, last) == pytest.approx((0.01, 0.01, 0.005), abs=1e-4)
    assert trainer.checkpoint().training["repeatable"] is True
    assert trainer.checkpoint().training["ended"] == "patience"


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


def test_an_empty_prefix_is_told_before_training_and_not_at_the_first_sample() -> None:
    with pytest.raises(OptionError, match="prefixes: one of them is empty; each must hold at least one character"):
        Trainer(corpus(), TrainingOptions(**{**SMALL, "prefixes": ("the", "")}))
    with pytest.raises(CorpusError, match="would fit"):
        Trainer(corpus("short text"), TrainingOptions(**SMALL))
    bad: dict[str, Any] = {"cell": "elman", "epochs": 0, "learning_rate": math.nan, "hidden_dim": 2.5}
    for field, value in bad.items():
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
