from __future__ import annotations

import json
import math
from dataclasses import asdict, fields
from typing import Any

import pytest

from model.errors import OptionError
from model.training.options import SETTINGS, TrainingOptions, check, in_todays_words, todays_name

BOUNDS = {name: setting.bounds for name, setting in SETTINGS.items() if setting.bounds is not None}
CHOICES = {name: setting.choices for name, setting in SETTINGS.items() if setting.choices}
OPTIONAL = ("steps", "time_budget_s", "patience")
WHOLE = [name for name, (low, _) in BOUNDS.items() if isinstance(low, int)]
NUMBERS = [(name, bound) for name, bounds in BOUNDS.items() for bound in bounds]


def with_one(name: str, value: Any) -> TrainingOptions:
    return TrainingOptions(**{name: value})


def test_every_option_has_bounds_or_choices_but_a_switch_and_a_list() -> None:
    names = {field.name for field in fields(TrainingOptions)}
    assert names - BOUNDS.keys() - CHOICES.keys() == {"carry_state", "prefixes"}
    assert not BOUNDS.keys() & CHOICES.keys()


@pytest.mark.parametrize(("name", "bound"), [n for n in NUMBERS if n != ("learning_rate", 0.0)])
def test_a_bound_itself_is_allowed(name: str, bound: float) -> None:
    assert getattr(with_one(name, bound), name) == bound


@pytest.mark.parametrize("name", BOUNDS)
def test_a_number_past_a_bound_is_refused_with_its_name_its_value_and_the_bounds(name: str) -> None:
    low, high = BOUNDS[name]
    whole = name in WHOLE
    for past in (
        low - 1 if whole else math.nextafter(low, -math.inf),
        high + 1 if whole else math.nextafter(high, math.inf),
    ):
        with pytest.raises(OptionError) as error:
            with_one(name, past)
        assert str(error.value) == f"{name}: {past} is not from {low} to {high}"
        assert error.value.field == name


@pytest.mark.parametrize("name", BOUNDS)
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, True, "1", [1]])
def test_what_is_no_finite_number_is_refused(name: str, value: Any) -> None:
    with pytest.raises(OptionError, match=f"{name}: .* is not a number"):
        with_one(name, value)


@pytest.mark.parametrize("name", BOUNDS)
def test_a_number_that_no_float_has_room_for_is_refused_and_not_written_out(name: str) -> None:
    with pytest.raises(OptionError, match=f"{name}: a number of over 77 digits is not from"):
        with_one(name, 10**400)


@pytest.mark.parametrize("name", WHOLE)
def test_a_fraction_of_what_is_counted_is_refused(name: str) -> None:
    with pytest.raises(OptionError, match=f"{name}: 2.5 is not a whole number"):
        with_one(name, 2.5)


@pytest.mark.parametrize("name", BOUNDS)
def test_only_what_can_be_off_may_be_none(name: str) -> None:
    if name in OPTIONAL:
        assert getattr(with_one(name, None), name) is None
    else:
        with pytest.raises(OptionError, match=f"{name}: None is not a number"):
            with_one(name, None)


@pytest.mark.parametrize("name", CHOICES)
def test_choices_are_taken_and_others_are_answered_with_them(name: str) -> None:
    for choice in CHOICES[name]:
        assert getattr(with_one(name, choice), name) == choice
    with pytest.raises(OptionError) as error:
        with_one(name, "odd")
    assert all(choice in str(error.value) for choice in CHOICES[name])


@pytest.mark.parametrize("name", SETTINGS)
def test_a_value_is_refused_by_itself_as_it_is_among_the_others(name: str) -> None:
    """So that it can be before a text is read, from which the other settings come."""
    for value in (-1, 0.5, "odd", math.nan, None, getattr(TrainingOptions(), name)):
        alone = None
        try:
            check(name, value)
        except OptionError as error:
            alone = str(error)
        if name == "carry_state" or alone is None:
            assert alone is None
            continue
        with pytest.raises(OptionError) as among:
            with_one(name, value)
        assert str(among.value) == alone
    check("backend", "numpy")


@pytest.mark.parametrize("name", SETTINGS)
def test_people_are_told_what_each_option_is_and_what_it_may_be(name: str) -> None:
    setting = SETTINGS[name]
    assert len(setting.help.split()) >= 1
    assert not setting.help.endswith(".")
    assert bool(setting.allowed) == (name not in ("carry_state", "prefixes"))


def test_what_is_allowed_is_told_in_words() -> None:
    told = {name: SETTINGS[name].allowed for name in ("cell", "num_layers", "pred_len", "epochs", "hold", "seed")}
    assert told == {
        "cell": "rnn, gru or lstm", "num_layers": "1 to 4", "pred_len": "1 to 100,000", "epochs": "1 or more",
        "hold": "0 to 1", "seed": "0 or more",
    }  # fmt: skip
    assert SETTINGS["learning_rate"].allowed == "above 0"
    assert SETTINGS["schedule"].allowed == "constant or linear"
    assert SETTINGS["averaging"].allowed == "0 to 0.99999"


def test_options_that_make_no_sense_together_are_refused() -> None:
    with pytest.raises(OptionError, match="learning_rate: 0 would learn nothing"):
        TrainingOptions(learning_rate=0.0)
    with pytest.raises(OptionError, match="carry_state: is for random sampling"):
        TrainingOptions(carry_state=True, sampling="consecutive")
    assert TrainingOptions(carry_state=True).carry_state


def test_they_come_back_from_a_record_and_unknown_ones_are_refused() -> None:
    options = TrainingOptions(prefixes=("a", "b"), steps=9, time_budget_s=2.5)
    assert TrainingOptions.from_record(json.loads(json.dumps(asdict(options)))) == options
    with pytest.raises(OptionError, match="aaa: is not a training option"):
        TrainingOptions.from_record({"zzz": 1, "aaa": 2})


def test_a_record_of_before_there_was_a_choice_held_the_end_of_its_text_out() -> None:
    assert TrainingOptions().validation == "spread"
    assert TrainingOptions.from_record({}) == TrainingOptions(validation="end")
    assert TrainingOptions.from_record({"validation": "spread"}) == TrainingOptions()
    assert in_todays_words({"seed": 3}) == {"seed": 3, "validation": "end"}


def test_the_cpu_backend_is_taken_by_its_earlier_name_and_has_its_present_one_from_then_on() -> None:
    assert TrainingOptions(backend="numpy") == TrainingOptions(backend="cpu")
    assert asdict(TrainingOptions.from_record({"backend": "numpy"}))["backend"] == "cpu"
    assert [todays_name(name) for name in ("numpy", "numpy-bfloat16", "cpu", "cpu-bfloat16", "mxnet")] == [
        "cpu", "cpu-bfloat16", "cpu", "cpu-bfloat16", "mxnet"
    ]  # fmt: skip
    for odd in ("numpy2", ["numpy"], None):
        with pytest.raises(OptionError, match=r"backend: .* is not one of auto, mxnet, cpu"):
            TrainingOptions(backend=odd)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["warmup", "dropout_input"])
def test_a_record_with_an_option_that_is_gone_is_read_where_the_option_was_off(name: str) -> None:
    record = {**asdict(TrainingOptions(seed=3)), name: 0.0}
    assert TrainingOptions.from_record(record) == TrainingOptions(seed=3)
    with pytest.raises(OptionError, match=f"{name}: was 0.25; this version has no such option") as refused:
        TrainingOptions.from_record({**record, name: 0.25})
    assert refused.value.field == name
    with pytest.raises(TypeError):
        with_one(name, 0.0)


def test_a_record_with_a_schedule_that_is_gone_is_refused_by_name() -> None:
    with pytest.raises(OptionError, match="schedule: 'cosine' is not one of constant, linear"):
        TrainingOptions.from_record({"schedule": "cosine"})
