from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Any

import pytest

from model.errors import OptionError
from model.text.batches import num_batches
from model.training import PRESETS, TrainingOptions, presets


def test_the_chapters_preset_is_the_chapters_configuration() -> None:
    options = TrainingOptions(**PRESETS["chapter"](10_000, 1465, None))
    assert (options.cell, options.num_layers, options.hidden_dim) == ("rnn", 1, 256)
    assert (options.num_steps, options.batch_size, options.epochs) == (35, 32, 200)
    assert (options.initialisation, options.optimizer, options.schedule) == ("normal", "sgd", "constant")
    assert (options.loss_reduction, options.learning_rate, options.clipping_theta) == ("sum", 0.2, 5.0)
    assert (options.sampling, options.pred_len, options.pred_period) == ("random", 50, 50)
    assert (options.time_budget_s, options.validation_fraction, options.averaging) == (None, 0.0, 0.0)
    assert options.precision == "float32"
    assert options == TrainingOptions()


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_gives_options_for_any_text(name: str) -> None:
    for chars, vocabulary, budget in itertools.product((50, 300_000, 10**9), (2, 3000), (None, 1.0, 1e6)):
        TrainingOptions(**PRESETS[name](chars, vocabulary, budget))


def test_a_time_budget_that_is_given_is_kept() -> None:
    assert {name: PRESETS[name](10_000, 60, 42.0)["time_budget_s"] for name in PRESETS} == dict.fromkeys(PRESETS, 42.0)
    assert {name: PRESETS[name](10_000, 60, None)["time_budget_s"] for name in PRESETS} == {
        "chapter": None,
        "quick": 60.0,
        "best": 180.0,
    }


def at(chars_per_second: Mapping[int, float], asked: list[int] | None = None) -> presets.Speed:
    """A machine that is so fast, by hidden units."""

    def speed(settings: Mapping[str, Any]) -> float:
        if asked is not None:
            asked.append(settings["hidden_dim"])
        return chars_per_second[settings["hidden_dim"]]

    return speed


SQUARES = {H: 1e10 / H**2 for H in presets.SIZES}  # characters per second


def test_best_takes_the_largest_model_that_reads_the_text_ten_times_on_this_machine() -> None:
    seen = set()
    for chars, budget in itertools.product((300_000, 1_003_854, 10**7, 10**8), (10.0, 60.0, 180.0, 3600.0, 1e5)):
        fitting = [H for H in presets.SIZES if 10 * chars <= SQUARES[H] * budget]
        asked: list[int] = []
        chosen = PRESETS["best"](chars, 65, budget, at(SQUARES, asked))
        assert chosen["hidden_dim"] == (fitting[-1] if fitting else 128)
        assert chosen["learning_rate"] == pytest.approx(min(0.016, 0.016 * 384 / chosen["hidden_dim"]))
        assert len(asked) <= 4  # of seven sizes
        assert all(10 * chars <= 3 * SQUARES[H] * budget for H in asked[1:])  # none that would take long
        seen.add(chosen["hidden_dim"])
    assert len(seen) > 3


def test_a_text_that_is_read_ten_times_to_the_second_still_takes_the_model() -> None:
    seconds = 10 * 1_000_000 / SQUARES[512]
    assert PRESETS["best"](1_000_000, 65, seconds, at(SQUARES))["hidden_dim"] == 512
    assert PRESETS["best"](1_000_000, 65, seconds * 0.999, at(SQUARES))["hidden_dim"] == 384


def test_the_speed_is_asked_of_the_model_and_the_batches_that_would_be_trained() -> None:
    asked: list[Mapping[str, Any]] = []

    def speed(settings: Mapping[str, Any]) -> float:
        asked.append(settings)
        return 1.0

    given = {"cell": "gru", "batch_size": 7, "precision": "float32", "device": "cpu"}
    presets.settings("best", 10**6, 10_000, given, speed)
    assert asked
    for settings in asked:
        assert settings.items() >= {**given, "vocab_size": 10_000, "num_steps": 64, "dropout_recurrent": 0.2}.items()
    assert presets.assumed({"hidden_dim": 256, "vocab_size": 10_000}) < presets.assumed(
        {"hidden_dim": 256, "vocab_size": 65}
    )


@pytest.mark.parametrize(("chars", "largest"), [(29_999, 128), (30_000, 256), (299_999, 256), (300_000, 1024)])
def test_a_small_text_is_worth_a_small_model_however_fast_the_machine(chars: int, largest: int) -> None:
    assert PRESETS["best"](chars, 65, 1e6, at(dict.fromkeys(presets.SIZES, 1e9)))["hidden_dim"] == largest


def test_best_hides_more_of_the_model_the_smaller_the_text() -> None:
    best = PRESETS["best"]
    large, small, tiny = best(300_000, 65, None), best(299_999, 65, None), best(4_999, 65, None)
    assert [p["dropout_output"] for p in (large, small, tiny)] == DROPOUT_OUTPUT
    assert [p["dropout_recurrent"] for p in (large, small, tiny)] == DROPOUT_RECURRENT
    assert best(5_000, 65, None)["dropout_output"] == small["dropout_output"]
    assert best(20_000, 65, None) == best(20_000, 1465, None)  # a large alphabet is no reason


def test_best_ends_by_patience_or_time_and_validates_after_about_25_updates() -> None:
    for chars in (400, 2_000, 15_000, 29_999, 100_000, 299_999):
        p = PRESETS["best"](chars, 65, None)
        assert (p["epochs"], p["patience"], p["validation_fraction"]) == (1_000_000, 12, 0.1)
        batches = max(num_batches(round(chars * 0.9), p["batch_size"], p["num_steps"], p["sampling"]), 1)
        assert 25 <= p["eval_every"] * batches < 25 + batches
        assert p["pred_period"] % p["eval_every"] == 0
    assert PRESETS["best"](10**6, 65, None)["eval_every"] == 2


def test_a_text_too_short_to_hold_some_out_is_trained_by_updates() -> None:
    best = PRESETS["best"]
    assert "steps" not in best(400, 65, None)
    p = best(399, 65, None)
    assert (p["validation_fraction"], p["patience"], p["steps"], p["epochs"]) == (0.0, None, 200, 1_000_000)
    assert presets.unwatched(399, p, {})
    assert not presets.unwatched(400, best(400, 65, None), {})
    # What is given ends it, or what is held out; a large text is ended by time.
    assert "steps" not in best(399, 65, None, given={"epochs": 5})
    assert "steps" not in best(399, 65, None, given={"validation_fraction": 0.2})
    assert presets.settings("best", 399, 65, {"steps": 7})["steps"] == 7
    unwatched = best(100_000, 65, None, given={"validation_fraction": 0.0})
    assert unwatched["steps"] == 20 * num_batches(100_000, 16, 64, "consecutive")
    assert "steps" not in best(300_000, 65, None, given={"validation_fraction": 0.0})


def test_the_rate_follows_a_model_size_that_is_given_and_nothing_is_measured() -> None:
    asked: list[int] = []
    settings = presets.settings("best", 10**6, 65, {"hidden_dim": 768}, at(SQUARES, asked))
    assert (settings["hidden_dim"], settings["learning_rate"], asked) == (768, 0.008, [])


def test_where_steps_end_the_run_the_machine_has_no_say_in_the_model() -> None:
    asked: list[int] = []
    settings = presets.settings("best", 10**6, 65, {"steps": 70}, at(SQUARES, asked))
    assert (asked, settings["time_budget_s"], settings["patience"]) == ([], None, None)
    presets.settings("best", 10**6, 65, {"steps": 70, "time_budget_s": 9.0}, at(SQUARES, asked))
    assert asked


def test_only_the_chapters_preset_keeps_case() -> None:
    assert frozenset({"chapter"}) == presets.PRESETS_THAT_KEEP_CASE


# The settings under which docs/benchmarks-training.md was measured: whoever changes one measures again.
QUICK = {
    "cell": "gru", "num_layers": 1, "hidden_dim": 256, "initialisation": "scaled", "num_steps": 35, "batch_size": 32,
    "sampling": "consecutive", "state_reset": 0.05, "epochs": 16, "time_budget_s": 60.0, "loss_reduction": "mean",
    "optimizer": "adam", "learning_rate": 0.004, "schedule": "linear", "hold": 0.6, "final_rate": 0.02,
    "clipping_theta": 1.0, "dropout_output": 0.3, "pred_len": 50, "pred_period": 8,
}  # fmt: skip
BEST = {
    "cell": "lstm", "num_layers": 1, "initialisation": "scaled", "num_steps": 64, "sampling": "consecutive",
    "epochs": 1_000_000, "time_budget_s": 180.0, "loss_reduction": "mean", "optimizer": "adam", "schedule": "linear",
    "final_rate": 0.02, "clipping_theta": 1.0, "averaging": 0.995, "state_reset": 0.01, "validation_fraction": 0.1,
    "patience": 12, "precision": "auto", "pred_len": 100,
}  # fmt: skip
DROPOUT_OUTPUT, DROPOUT_RECURRENT = [0.3, 0.4, 0.6], [0.2, 0.3, 0.5]  # large, small, tiny


def test_the_presets_are_the_settings_that_were_measured() -> None:
    assert PRESETS["quick"](10_000, 1465, None) == QUICK
    sizes = (10**6, 10**5, 10**3)
    for chars in sizes:
        assert PRESETS["best"](chars, 65, None).items() >= BEST.items()
    own = [PRESETS["best"](chars, 65, None) for chars in sizes]
    assert [(p["batch_size"], p["hold"]) for p in own] == [(32, 0.5), (16, 0.25), (8, 0.25)]
    assert [p["learning_rate"] for p in own[1:]] == [0.01, 0.01]
    assert [p.get("weight_decay", 0.0) for p in own] == [0.0, 0.0, 0.3]


@pytest.mark.parametrize("name", PRESETS)
def test_what_is_given_stands_in_place_of_the_presets(name: str) -> None:
    sizes = 1_000_000, 65
    assert presets.settings(name, *sizes, {}) == PRESETS[name](*sizes, None)
    given = {"seed": 7, "epochs": 3, "time_budget_s": 9.0}
    assert presets.settings(name, *sizes, given) == {**PRESETS[name](*sizes, 9.0, given=given), **given}


def test_steps_alone_end_a_run_unless_another_end_is_given_too() -> None:
    settings = presets.settings("quick", 10_000, 60, {"steps": 70})
    assert settings == {**QUICK, "steps": 70, "epochs": 1_000_000, "time_budget_s": None, "patience": None}
    settings = presets.with_given({"epochs": 16, "time_budget_s": 60.0}, {"steps": 70, "epochs": 2})
    assert settings == {"steps": 70, "epochs": 2, "time_budget_s": None, "patience": None}


def test_a_preset_that_there_is_not_is_refused_with_those_that_there_are() -> None:
    with pytest.raises(OptionError, match="preset: 'fast' is not one of chapter, quick, best") as error:
        presets.settings("fast", 10_000, 60, {})
    assert error.value.field == "preset"
