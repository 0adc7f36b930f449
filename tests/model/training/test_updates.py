"""What a trainer makes of given losses and gradients, against the same run in plain NumPy."""

from __future__ import annotations

import json
import math
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from model.errors import TrainingError
from model.text import batches
from model.training import TrainingOptions
from model.training import trainer as module
from model.training.report import events
from tests.model.training.scripted import TEXT, Scripted, corpus, loss_of, scripted, trainer

V = len(set(TEXT))


def of(kind: Any, happened: list[events.Event]) -> list[Any]:
    return [event for event in happened if isinstance(event, kind)]


def sgd(w: Any, g: Any, rate: float, decay: Any, _t: int, _memory: dict[str, Any]) -> Any:
    return w - rate * (g + decay * w)


def adam(w: Any, g: Any, rate: float, decay: Any, t: int, memory: dict[str, Any]) -> Any:
    m = memory["m"] = 0.9 * memory.get("m", 0) + 0.1 * g
    v = memory["v"] = 0.99 * memory.get("v", 0) + 0.01 * g**2
    return w - rate * (m / (1 - 0.9**t) / (np.sqrt(v / (1 - 0.99**t)) + 1e-8) + decay * w)


def rate_at(options: TrainingOptions, progress: float) -> float:
    """A level and a fall along a line."""
    o, begin = options, options.hold
    if o.schedule == "constant" or progress <= begin:
        return o.learning_rate
    return o.learning_rate * (1 - (1 - o.final_rate) * (progress - begin) / (1 - begin))


RUNS: list[dict[str, Any]] = [
    {"optimizer": "adam", "loss_reduction": "mean", "clipping_theta": 0.9, "weight_decay": 0.5, "averaging": 0.7,
     "schedule": "linear", "hold": 0.5, "final_rate": 0.1, "learning_rate": 0.015,
     "sampling": "consecutive", "validation_fraction": 0.2},
    {"optimizer": "sgd", "loss_reduction": "sum", "clipping_theta": 30.0, "weight_decay": 0.3, "averaging": 0.0,
     "schedule": "linear", "learning_rate": 0.01, "validation_fraction": 0.1},
    {"optimizer": "sgd", "loss_reduction": "mean", "clipping_theta": 0.9, "averaging": 0.99, "steps": 29,
     "schedule": "linear", "hold": 0.3, "learning_rate": 0.1, "validation_fraction": 0.2},
    {"optimizer": "adam", "loss_reduction": "sum", "clipping_theta": 30.0, "learning_rate": 0.01, "steps": 1000},
]  # fmt: skip


@pytest.mark.parametrize("given", RUNS)
def test_a_run_is_the_formulas_one_after_the_other(given: dict[str, Any]) -> None:
    run, backend = trainer(**given)
    w, decayed = backend.weights.copy(), np.arange(len(backend.weights)) < backend.num_decayed
    options, per_batch, held_out = run.options, 4 * 8, bool(run.options.validation_fraction)
    happened = list(run.events())
    total = min(options.steps or 10**9, options.epochs * run.num_batches)
    average, memory, epoch, clipped = w.copy(), dict[str, Any](), 0, []
    losses, norms = list[float](), list[float]()
    best, history, best_loss = None, [], math.inf
    batch_events, epoch_events = iter(of(events.BatchDone, happened)), iter(of(events.EpochDone, happened))
    for k in range(total):
        loss, g = scripted(k, len(w))
        g = g if options.loss_reduction == "sum" else g / per_batch
        norm = math.sqrt((g**2).sum())
        losses, norms = [*losses, loss], [*norms, norm]
        clipped.append(norm > options.clipping_theta)
        g = g * min(1, options.clipping_theta / norm)
        progress = max(k / (options.epochs * run.num_batches), k / (options.steps or math.inf))
        step = {"adam": adam, "sgd": sgd}[options.optimizer]
        w = step(w, g, rate_at(options, progress), options.weight_decay * decayed, k + 1, memory)
        keep = min(options.averaging, (k + 2) / (k + 11))  # TensorFlow's, `num_updates` being k + 1
        average = keep * average + (1 - keep) * w
        after = max((k + 1) / (options.epochs * run.num_batches), (k + 1) / (options.steps or math.inf))
        told = next(batch_events)
        assert (told.epoch, told.batch) == (epoch + 1, len(losses))
        assert (told.progress, told.perplexity) == pytest.approx((after, math.exp(np.mean(losses))))
        if len(losses) == run.num_batches or k + 1 == total:
            epoch += 1
            kept = average if options.averaging else w
            found = loss_of(kept) if held_out else None
            better = found is None or found < best_loss
            if better:
                best, best_loss, best_epoch = kept.copy(), math.inf if found is None else found, epoch
            done = next(epoch_events)
            figures = (done.epoch, done.train_perplexity, done.learning_rate, done.grad_norm, done.best)
            assert figures == pytest.approx(
                (epoch, math.exp(np.mean(losses)), rate_at(options, after), np.mean(norms), better)
            )
            perplexity = None if found is None else pytest.approx(math.exp(found))
            assert done.validation_perplexity == perplexity
            history.append((epoch, done.train_perplexity, done.validation_perplexity))
            losses, norms = [], []
    assert any(clipped)
    assert not all(clipped)
    np.testing.assert_allclose(backend.weights, w, rtol=1e-9, atol=1e-11)
    assert best is not None
    np.testing.assert_allclose(run.checkpoint().parameters["all"], best, rtol=1e-9, atol=1e-11)
    finished = happened[-1]
    assert isinstance(finished, events.Finished)
    assert (finished.epoch, finished.best_epoch) == (epoch, best_epoch)
    assert finished.reason == ("steps" if options.steps == total else "epochs")
    assert [(row[0], *row[2:]) for row in run.position.history] == history
    assert run.position.step == total
    if held_out:
        assert best_epoch < epoch  # so that the last parameters and the best differ
        rises = of(events.EpochDone, happened)[::-1]
        assert run.position.rises == next(n for n, done in enumerate(rises) if done.best)


def test_what_a_run_begins_with_is_told() -> None:
    run, backend = trainer(validation_fraction=0.2, validation="end")
    started = next(iter(run.events()))
    assert isinstance(started, events.Started)
    length = len(TEXT)
    assert (started.training_chars, started.validation_chars) == (length - round(length / 5), round(length / 5))
    assert started.margin_chars == 0
    spread, _ = trainer(validation_fraction=0.2)
    told = next(iter(spread.events()))
    assert isinstance(told, events.Started)
    assert told.training_chars == spread.num_training == pytest.approx(length * 0.8, rel=0.05)
    assert told.validation_chars == sum(end - start for start, end in spread.split.blocks)
    assert told.margin_chars == length - told.training_chars - told.validation_chars > 0
    assert (started.num_parameters, started.backend, started.epoch) == (len(backend.weights), "scripted", 0)
    assert started.num_batches == (started.training_chars - 1) // 8 // 4
    assert started.config == run.config


@pytest.mark.parametrize("validation", ["spread", "end"])
@pytest.mark.parametrize("sampling", ["random", "consecutive"])
def test_each_epoch_reads_the_text_that_is_not_held_out_once(sampling: str, validation: str) -> None:
    run, backend = trainer(epochs=3, sampling=sampling, validation_fraction=0.2, validation=validation)
    list(run.events())
    whole = corpus().indices
    text = np.concatenate([whole[start:end] for start, end in run.split.stretches])
    assert len(text) == run.num_training
    assert (validation == "end") == (len(run.split.stretches) == 1)
    for data, labels, *_ in backend.batches:
        np.testing.assert_array_equal(data[:, 1:], labels[:, :-1])
    n = run.num_batches
    orders = [[data.tobytes() for data, *_ in backend.batches[at : at + n]] for at in (0, n, 2 * n)]
    if sampling == "consecutive":
        expected = [data.astype(np.int32).tobytes() for data, _ in batches.data_iter_consecutive(text, 4, 8)]
        assert orders == [expected] * 3
        return
    assert len({tuple(order) for order in orders}) == 3  # each in an order of its own
    stretches = sorted(text[at : at + 8].astype(np.int32).tobytes() for at in range(0, len(text) - 8, 8))
    for at in (0, n, 2 * n):
        rows = sorted(row.tobytes() for data, *_ in backend.batches[at : at + n] for row in data)
        left = list(stretches)
        for row in rows:
            left.remove(row)
        assert len(left) == len(stretches) - 4 * n < 4
    same_options: dict[str, Any] = {"epochs": 3, "validation_fraction": 0.2, "validation": validation}
    again, other = trainer(**same_options), trainer(**same_options, seed=1)
    for (run, twin), same in ((again, True), (other, False)):
        list(run.events())
        assert ([d.tobytes() for d, *_ in twin.batches] == [d.tobytes() for d, *_ in backend.batches]) is same


def test_every_update_hides_other_units_and_another_seed_hides_others() -> None:
    given: dict[str, Any] = {"epochs": 3, "dropout_output": 0.5, "hidden_dim": 8}
    (run, backend), (other, theirs) = trainer(**given), trainer(**given, seed=1)
    list(run.events())
    list(other.events())
    drawn = [masks.output for *_, masks in backend.batches + theirs.batches]
    assert len({mask.tobytes() for mask in drawn if mask is not None}) == len(drawn) == 6 * run.num_batches


def carried(state: tuple[Any, ...]) -> Any:
    (array,) = state
    return array


@pytest.mark.parametrize("sampling", ["random", "consecutive"])
def test_rows_of_a_carried_state_are_reset_by_their_share(sampling: str) -> None:
    """The scripted state counts the batches that a row has read since it was zero."""
    given: dict[str, Any] = {
        "sampling": sampling, "carry_state": sampling == "random", "batch_size": 16, "num_steps": 1, "epochs": 6,
    }  # fmt: skip
    run, backend = trainer(**given, state_reset=0.25)
    list(run.events())
    states = [carried(state) for _, _, state, _ in backend.batches]
    resets, rows = [], 0
    for number, (before, state) in enumerate(zip([states[0] * 0 - 1, *states], states, strict=False)):
        if number % run.num_batches == 0:
            assert not state.any()
            continue
        reset = state[:, 0] == 0
        np.testing.assert_array_equal(state, np.where(reset[:, None], 0, before + 1))
        rows += len(reset)
        resets.append(tuple(reset))
    share = np.mean(resets)
    assert abs(share - 0.25) < 5 * math.sqrt(0.25 * 0.75 / rows)
    assert len(set(resets)) > len(resets) / 2  # others at each update
    for share, zero in ((0.0, False), (1.0, True)):
        run, backend = trainer(**given, state_reset=share)
        list(run.events())
        later = [carried(state) for n, (_, _, state, _) in enumerate(backend.batches) if n % run.num_batches]
        assert {not state.any() for state in later} == {zero}


def test_no_state_is_carried_between_batches_in_random_order() -> None:
    run, backend = trainer(state_reset=0.0)
    list(run.events())
    assert not any(carried(state).any() for _, _, state, _ in backend.batches)


def test_validations_and_samples_come_at_their_epochs_and_after_the_last() -> None:
    run, _ = trainer(epochs=7, eval_every=2, pred_period=3, validation_fraction=0.2, prefixes=("t", "q"), pred_len=2)
    happened = list(run.events())
    done = of(events.EpochDone, happened)
    assert [event.epoch for event in done if event.validation_perplexity is not None] == [2, 4, 6, 7]
    assert not any(event.best for event in done if event.validation_perplexity is None)
    assert [(event.epoch, event.prefix) for event in of(events.Sampled, happened)] == [
        (epoch, prefix) for epoch in (3, 6, 7) for prefix in "tq"
    ]
    ends, _ = trainer(epochs=7, steps=20, eval_every=50, pred_period=50, validation_fraction=0.2, pred_len=2)
    happened = list(ends.events())
    assert [event.validation_perplexity is None for event in of(events.EpochDone, happened)] == [True, False]
    assert {event.epoch for event in of(events.Sampled, happened)} == {2}


def test_what_is_held_out_and_what_is_written_are_by_the_averaged_weights() -> None:
    run, backend = trainer(epochs=2, averaging=0.9, validation_fraction=0.2)
    for event in run.events():
        if isinstance(event, events.EpochDone):
            assert run.average is not None
            np.testing.assert_array_equal(backend.measured[-1], run.average)
            assert not np.array_equal(backend.weights, run.average)


CIRCLE = "abcdefghijklmnop" * 40  # all that the scripted backend writes of it stands in it


def test_the_share_that_is_quoted_is_the_mean_over_the_samples_and_told_once() -> None:
    # Of the windows of "aaabc…", 43 characters long, all but the first two stand in the text.
    run, _ = trainer(text=CIRCLE, epochs=4, pred_period=2, prefixes=("a", "aaa"), pred_len=40)
    happened = list(run.events())
    assert [event.memorised for event in of(events.Sampled, happened)] == pytest.approx([1, 22 / 24] * 2)
    mean = pytest.approx((1 + 22 / 24) / 2)
    assert [event.memorised for event in of(events.EpochDone, happened)] == [None, mean, None, mean]
    assert run.checkpoint().training["memorised"] == mean
    run, _ = trainer(text=CIRCLE, epochs=4, pred_period=1, prefixes=("a",), pred_len=40)
    happened = list(run.events())
    assert [event.memorised for event in of(events.EpochDone, happened)] == [1.0] * 4
    assert ["by heart" in event.text for event in of(events.Advice, happened)] == [True]
    run, _ = trainer(text=CIRCLE, epochs=2, pred_period=2, prefixes=("a",), pred_len=5)
    assert [event.memorised for event in of(events.EpochDone, list(run.events()))] == [None, None]


def test_overfitting_is_told_once() -> None:
    run, _ = trainer(epochs=60, validation_fraction=0.2, learning_rate=0.01)
    happened, rises, told = list(run.events()), 0, 0
    for event in happened:
        if isinstance(event, events.EpochDone):
            rises = 0 if event.best else rises + 1
            told += rises == 3
    assert len(of(events.Advice, happened)) == told > 0


class Clock(SimpleNamespace):
    """Each look at it is half a second later."""

    def perf_counter(self) -> float:
        self.now += 0.5
        return float(self.now)


def test_seconds_and_speed_are_those_of_the_clock_and_go_on_in_a_run_that_is_taken_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "time", Clock(now=100.0))
    run, _ = trainer(epochs=3, validation_fraction=0.2)
    stream, n = run.events(), run.num_batches
    for event in stream:
        if isinstance(event, events.BatchDone):
            assert event.chars_per_second == pytest.approx(4 * 8 / 0.5)
            if event.epoch == 2 and event.batch == 5:
                break
    arrays, facts = run.snapshot()
    run, _ = trainer(epochs=3, validation_fraction=0.2)
    run.restore(arrays, json.loads(json.dumps(facts)))
    happened = list(run.events())
    done = of(events.EpochDone, happened)
    assert [event.epoch_seconds for event in done] == pytest.approx([n / 2] * 2)
    assert [event.chars_per_second for event in done] == pytest.approx([64.0] * 2)
    assert [event.seconds for event in done] == pytest.approx([n + 1.0, 1.5 * n + 1.5])
    assert [row[1] for row in run.position.history] == pytest.approx([n / 2 + 0.5, n + 1.0, 1.5 * n + 1.5])
    finished = happened[-1]
    assert isinstance(finished, events.Finished)
    assert finished.seconds == pytest.approx(1.5 * n + 1.5)


def test_a_run_ends_within_an_epoch_when_its_time_is_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "time", Clock(now=0.0))
    run, _ = trainer(epochs=30, time_budget_s=5.0)
    happened = list(run.events())
    assert run.position.step == 10 < run.num_batches
    finished = happened[-1]
    assert isinstance(finished, events.Finished)
    assert (finished.reason, finished.epoch) == ("time", 1)
    assert run.checkpoint().training["repeatable"] is False


@pytest.mark.parametrize("taken_up_at", [1, 7, 20, 30])
def test_a_run_that_is_taken_up_shares_nothing_with_its_snapshot(taken_up_at: int) -> None:
    given: dict[str, Any] = {
        "sampling": "consecutive", "optimizer": "adam", "averaging": 0.9, "validation_fraction": 0.2, "epochs": 3,
    }  # fmt: skip
    run, backend = trainer(**given)
    stream = run.events()
    for _ in range(taken_up_at):
        next(stream)
    arrays, facts = run.snapshot()
    arrays = {name: array.copy() for name, array in arrays.items()}
    kept = {name: array.copy() for name, array in arrays.items()}
    twin = Scripted()
    other, _ = trainer(twin, **given)
    twin.batches = list(backend.batches)
    other.restore(arrays, json.loads(json.dumps(facts)))
    list(other.events())
    for name, array in kept.items():
        np.testing.assert_array_equal(arrays[name], array)
    list(stream)
    for name, array in run.snapshot()[0].items():
        np.testing.assert_array_equal(other.snapshot()[0][name], array)
    assert other.checkpoint().parameters["all"].tobytes() == run.checkpoint().parameters["all"].tobytes()
    for mine, theirs in zip(backend.batches, twin.batches, strict=True):
        assert mine[0].tobytes() == theirs[0].tobytes()
        assert carried(mine[2]).tobytes() == carried(theirs[2]).tobytes()


def test_stopping_and_ending_leave_the_position_between_two_epochs_or_within_one() -> None:
    run, _ = trainer()
    for event in run.events():
        if isinstance(event, events.EpochDone):
            run.request_stop()
    assert (run.ended, run.position.epoch, run.position.batch) == ("stopped", 1, 0)
    run, _ = trainer()
    for event in run.events():
        if isinstance(event, events.BatchDone) and event.batch == 3:
            run.request_stop()
    assert (run.ended, run.position.epoch, run.position.batch) == ("stopped", 0, 3)


@pytest.mark.parametrize("how", ["loss", "gradient"])
def test_the_epoch_in_which_a_run_diverges_has_the_figures_with_that_batch(how: str) -> None:
    backend = Scripted()
    run, _ = trainer(backend, learning_rate=0.01)
    number = run.num_batches + 4  # the fifth batch of the second epoch
    far = 11 * math.log(V)
    (backend.batch_losses if how == "loss" else backend.steep)[number] = far if how == "loss" else math.inf
    kept = None
    happened = []
    for event in run.events():
        happened.append(event)
        if isinstance(event, events.BatchDone):
            kept = backend.weights.copy()
    assert kept is not None
    np.testing.assert_array_equal(backend.weights, kept)  # the batch moved nothing
    assert run.position.step == number
    broken, advice, finished = happened[-3:]
    losses = [scripted(k, 1)[0] for k in range(number - 4, number)]
    expected = math.exp((sum(losses) + far) / 5) if how == "loss" else math.nan
    assert isinstance(broken, events.EpochDone)
    assert (broken.epoch, broken.best, broken.validation_perplexity) == (2, False, None)
    assert broken.train_perplexity == pytest.approx(expected, nan_ok=True)
    assert isinstance(advice, events.Advice)
    assert (
        f"epoch 2: training has diverged, the loss is {f'{far:.3g}' if how == 'loss' else 'no longer'}" in advice.text
    )
    assert isinstance(finished, events.Finished)
    assert (finished.reason, finished.epoch, finished.best_epoch) == ("diverged", 1, 1)
    assert run.checkpoint().training["diverged_in_epoch"] == 2


def test_a_loss_of_ten_times_guessing_evenly_is_the_last_that_goes_on() -> None:
    for factor, reason in ((9.99, "epochs"), (10.01, "diverged")):
        backend = Scripted()
        run, _ = trainer(backend, learning_rate=1e-6, epochs=1)
        backend.batch_losses[2] = factor * math.log(V)
        finished = list(run.events())[-1]
        assert isinstance(finished, events.Finished)
        assert finished.reason == reason


def test_held_out_text_out_of_reach_ends_the_run_with_its_figure() -> None:
    backend = Scripted()
    run, _ = trainer(backend, validation_fraction=0.2, optimizer="sgd", learning_rate=0.01)
    happened = []
    for event in run.events():
        happened.append(event)
        if isinstance(event, events.BatchDone) and event.epoch == 3 and event.batch == run.num_batches:
            backend.far = 0.0
    backend.far = math.inf
    broken, advice, finished = happened[-3:]
    assert isinstance(broken, events.EpochDone)
    assert (broken.epoch, broken.validation_perplexity, broken.best) == (3, math.inf, False)
    assert isinstance(advice, events.Advice)
    assert "1e+09 nats" in advice.text
    # What was best is read as well; here it is out of reach too.
    assert isinstance(finished, events.Finished)
    assert (finished.reason, finished.epoch, finished.best_epoch) == ("diverged", 2, 0)
    with pytest.raises(TrainingError, match="diverged"):
        run.checkpoint()


@pytest.mark.parametrize("value", [math.nan, 1e6])
def test_where_nothing_is_held_out_the_last_parameters_are_read_once_more(value: float) -> None:
    backend = Scripted()
    backend.far = 1e5
    run, _ = trainer(backend, epochs=2, learning_rate=0.01)
    ends = []
    for event in run.events():
        if isinstance(event, events.EpochDone):
            ends.append(backend.weights.copy())
            losses = [
                scripted(k, 1)[0] for k in range((event.epoch - 1) * run.num_batches, event.epoch * run.num_batches)
            ]
            assert event.train_perplexity == pytest.approx(math.exp(np.mean(losses)))
            if event.epoch == 2:
                backend.weights[3] = value
        last = event
    assert isinstance(last, events.Finished)
    assert (last.reason, last.epoch) == ("diverged", 2)
    means = [
        np.mean([scripted(k, 1)[0] for k in range(e * run.num_batches, (e + 1) * run.num_batches)]) for e in (0, 1)
    ]
    best = int(np.argmin(means))
    assert last.best_epoch == best + 1
    np.testing.assert_array_equal(run.checkpoint().parameters["all"], ends[best])


def test_the_best_and_the_averaged_parameters_of_a_new_trainer_are_its_own() -> None:
    run, backend = trainer(averaging=0.5)
    before = backend.weights.copy()
    backend.weights += 1
    np.testing.assert_array_equal(run.best, before)
    assert run.average is not None
    np.testing.assert_array_equal(run.average, before)
