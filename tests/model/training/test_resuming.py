from __future__ import annotations

import json
from dataclasses import asdict, fields, replace
from typing import Any

import pytest

from model.errors import CheckpointError
from model.training.options import SETTINGS, TrainingOptions
from model.training.resuming import FIXED, FREE, LENGTH, changes

BEFORE = TrainingOptions(num_layers=2, sampling="consecutive", time_budget_s=5.0, prefixes=("a", "b"))


def another(name: str) -> TrainingOptions:
    value: Any = getattr(BEFORE, name)
    if SETTINGS[name].choices:
        value = next(choice for choice in SETTINGS[name].choices if choice != value)
    elif name == "prefixes":
        value = ("c",)
    elif name == "carry_state":
        return replace(BEFORE, sampling="random", carry_state=True)
    elif value is None:
        value = 7
    else:
        value = value / 2 + 0.25 if isinstance(value, float) else value + 1
    return replace(BEFORE, **{name: value})


def recorded(options: TrainingOptions) -> dict[str, Any]:
    return dict(json.loads(json.dumps(asdict(options))))


@pytest.mark.parametrize("name", [field.name for field in fields(TrainingOptions)])
def test_every_option_that_could_change_the_result_is_refused_by_name_with_both_values(name: str) -> None:
    now = asdict(another(name))
    if name in FREE:
        assert changes(recorded(BEFORE), now) == []
    elif name in LENGTH:
        assert changes(recorded(BEFORE), now) == [name]
    else:
        with pytest.raises(CheckpointError) as error:
            changes(recorded(BEFORE), now)
        shown = ["off" if value is None else str(value) for value in (asdict(BEFORE)[name], now[name])]
        assert f"{name} was {shown[0]}, now {shown[1]}" in str(error.value)
        if name in FIXED:
            with pytest.raises(CheckpointError, match="no run can go on with that"):
                changes(recorded(BEFORE), now, override=True)
        else:
            assert name in changes(recorded(BEFORE), now, override=True)


def test_what_is_the_same_is_no_change() -> None:
    assert changes(recorded(BEFORE), asdict(BEFORE)) == []


def test_all_that_differ_are_named_at_once_and_held_out_text_can_never_be_trained_on() -> None:
    now = asdict(replace(BEFORE, seed=1, learning_rate=0.5, validation_fraction=0.1, epochs=3))
    with pytest.raises(CheckpointError) as error:
        changes(recorded(BEFORE), now)
    assert "validation_fraction was 0.0, now 0.1 (no run can go on with that)" in str(error.value)
    assert "learning_rate was 0.2, now 0.5, seed was 0, now 1 (--override goes on nevertheless)" in str(error.value)
    with pytest.raises(
        CheckpointError, match=r"settings: validation_fraction was 0\.0, now 0\.1 \(no run [^;]*; --overw"
    ):
        changes(recorded(BEFORE), now, override=True)


def test_a_run_of_before_an_option_was_there_goes_on_where_it_is_off() -> None:
    before = recorded(BEFORE)
    del before["steps"], before["seed"]
    with pytest.raises(CheckpointError, match="seed was off, now 0"):
        changes(before, asdict(BEFORE))
