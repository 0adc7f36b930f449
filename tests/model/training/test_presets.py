from __future__ import annotations

import itertools

import pytest

from model.errors import OptionError
from model.kernels import bfloat16
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


@pytest.mark.parametrize(("fast", "flops"), [(True, 240e9), (False, 140e9)])
def test_best_takes_the_largest_model_that_reads_the_text_ten_times(
    monkeypatch: pytest.MonkeyPatch, fast: bool, flops: float
) -> None:
    monkeypatch.setattr(bfloat16, "available", lambda: fast)
    seen = set()
    for chars, budget in itertools.product((300_000, 1_003_854, 10**7, 10**8), (10.0, 60.0, 180.0, 3600.0, 1e5)):
        fitting = [H for H in (128, 192, 256, 384, 512, 768, 1024) if 10 * chars * 24 * H * H <= flops * budget]
        chosen = PRESETS["best"](chars, 65, budget)
        assert chosen["hidden_dim"] == (fitting[-1] if fitting else 128)
        assert chosen["learning_rate"] == pytest.approx(min(0.016, 0.016 * 384 / chosen["hidden_dim"]))
        assert (chosen["dropout_recurrent"], chosen["eval_every"]) == (0.2, 2)
        seen.add(chosen["hidden_dim"])
    assert len(seen) > 3


def test_best_hides_more_of_the_model_the_smaller_and_the_more_varied_the_text() -> None:
    best = PRESETS["best"]
    large, small, varied = best(300_000, 65, None), best(299_999, 65, None), best(20_000, 1465, None)
    assert [p["dropout_output"] for p in (large, small, varied)] == [0.3, 0.4, 0.6]
    assert [p["dropout_recurrent"] for p in (large, small, varied)] == [0.2, 0.3, 0.5]
    assert "weight_decay" not in small
    assert varied["weight_decay"] == 0.3
    assert (small["hidden_dim"], varied["hidden_dim"]) == (256, 256)
    assert (small["learning_rate"], small["epochs"], varied["epochs"]) == (0.01, 20, 10)
    # The border: each character stands in the text 200 times on average.
    assert best(200 * 65, 65, None) == {**small}
    assert best(200 * 65 - 1, 65, None) == {**varied}


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
    "time_budget_s": 180.0, "loss_reduction": "mean", "optimizer": "adam", "schedule": "linear", "final_rate": 0.02,
    "clipping_theta": 1.0, "averaging": 0.995, "state_reset": 0.01, "validation_fraction": 0.1, "precision": "auto",
    "pred_len": 100, "pred_period": 10,
}  # fmt: skip


def test_the_presets_are_the_settings_that_were_measured() -> None:
    assert PRESETS["quick"](10_000, 1465, None) == QUICK
    for chars, vocabulary in ((10**6, 65), (100_000, 65), (20_000, 1465)):
        assert PRESETS["best"](chars, vocabulary, None).items() >= BEST.items()
    large, small, varied = (PRESETS["best"](*sizes, None) for sizes in ((10**6, 65), (10**5, 65), (20_000, 1465)))
    assert [(p["batch_size"], p["epochs"], p["hold"]) for p in (large, small, varied)] == [
        (32, 100_000, 0.5), (16, 20, 0.4), (16, 10, 0.3),
    ]  # fmt: skip


def test_a_text_that_is_read_ten_times_to_the_second_still_takes_the_model(monkeypatch: pytest.MonkeyPatch) -> None:
    """The border itself: 24 · 512² operations for each of a million characters, ten times, at 240e9 a second."""
    monkeypatch.setattr(bfloat16, "available", lambda: True)
    seconds = 10 * 24 * 512**2 * 1_000_000 / 240e9
    assert PRESETS["best"](1_000_000, 65, seconds)["hidden_dim"] == 512
    assert PRESETS["best"](1_000_000, 65, seconds * 0.999)["hidden_dim"] == 384


@pytest.mark.parametrize("name", PRESETS)
def test_what_is_given_stands_in_place_of_the_presets(name: str) -> None:
    sizes = 1_000_000, 65
    assert presets.settings(name, *sizes, {}) == PRESETS[name](*sizes, None)
    given = {"seed": 7, "epochs": 3, "time_budget_s": 9.0}
    assert presets.settings(name, *sizes, given) == {**PRESETS[name](*sizes, 9.0), **given}


def test_steps_alone_end_a_run_unless_another_end_is_given_too() -> None:
    settings = presets.settings("quick", 10_000, 60, {"steps": 70})
    assert settings == {**QUICK, "steps": 70, "epochs": 1_000_000, "time_budget_s": None}
    settings = presets.with_given({"epochs": 16, "time_budget_s": 60.0}, {"steps": 70, "epochs": 2})
    assert settings == {"steps": 70, "epochs": 2, "time_budget_s": None}


def test_a_preset_that_there_is_not_is_refused_with_those_that_there_are() -> None:
    with pytest.raises(OptionError, match="preset: 'fast' is not one of chapter, quick, best") as error:
        presets.settings("fast", 10_000, 60, {})
    assert error.value.field == "preset"
