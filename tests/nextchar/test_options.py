"""The options of `nextchar train`: how they are spelled, which setting each one is, what the help says of them."""

from __future__ import annotations

import re
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command
from typer.testing import CliRunner

from model.text.corpus import Corpus
from model.training import PRESETS, TrainingOptions
from model.training.options import SETTINGS
from model.training.run import Snapshot
from nextchar import train
from nextchar.options import FIRST, PANELS, SPELLED

# Scripts and habits hold these: the spelling of each setting, with another value than any preset has.
SETTING_OPTIONS: dict[str, tuple[str, Any]] = {
    "cell": ("--cell", "rnn"), "num_layers": ("--num-layers", 2), "hidden_dim": ("--hidden-dim", 9),
    "initialisation": ("--initialisation", "uniform"), "num_steps": ("--num-steps", 7),
    "batch_size": ("--batch-size", 3), "sampling": ("--sampling", "random"), "carry_state": ("--carry-state", True),
    "state_reset": ("--state-reset", 0.25), "epochs": ("--epochs", 5), "steps": ("--steps", 11),
    "time_budget_s": ("--time-budget", 12.5), "loss_reduction": ("--loss-reduction", "sum"),
    "optimizer": ("--optimizer", "sgd"), "learning_rate": ("--learning-rate", 0.125),
    "schedule": ("--schedule", "constant"), "hold": ("--hold", 0.375), "final_rate": ("--final-rate", 0.5),
    "clipping_theta": ("--clipping-theta", 2.5), "weight_decay": ("--weight-decay", 0.0625),
    "averaging": ("--averaging", 0.75), "dropout_layers": ("--dropout-layers", 0.125),
    "dropout_output": ("--dropout-output", 0.1875), "dropout_recurrent": ("--dropout-recurrent", 0.3125),
    "validation_fraction": ("--validation-fraction", 0.21875), "eval_every": ("--eval-every", 3),
    "validation": ("--validation", "end"),
    "patience": ("--patience", 4), "prefixes": ("--prefix", ("one", "two")), "pred_len": ("--pred-len", 13),
    "pred_period": ("--pred-period", 17), "save_every_s": ("--save-every", 19.5), "seed": ("--seed", 23),
    "device": ("--device", "cpu"), "backend": ("--backend", "cpu"), "precision": ("--precision", "auto"),
}  # fmt: skip
OTHER_OPTIONS = {
    "--out", "--corpus", "--encoding", "--errors", "--join", "--max-chars", "--keep-newlines", "--no-keep-newlines",
    "--keep-case", "--no-keep-case", "--preset", "--tensorboard", "--no-tensorboard", "--resume", "--no-resume",
    "--override", "--no-override", "--overwrite", "--no-overwrite", "--if-missing", "--no-if-missing",
}  # fmt: skip


class Told(Exception):  # noqa: N818 - it is no error
    pass


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> None:
    """Training ends before it begins, with the options that it was told."""

    def trainer(_encoded: Any, options: TrainingOptions) -> None:
        raise Told(options)

    monkeypatch.setattr(train, "Trainer", trainer)


def options(out: Path, *arguments: str) -> TrainingOptions:
    result = CliRunner().invoke(train.program, ["--out", str(out / "m"), *arguments])
    assert isinstance(result.exception, Told), result.output
    (found,) = result.exception.args
    assert isinstance(found, TrainingOptions)
    return found


def given(name: str) -> list[str]:
    option, value = SETTING_OPTIONS[name]
    if value is True:
        return [option]
    return [word for one in (value if isinstance(value, tuple) else [value]) for word in (option, str(one))]


def test_no_option_is_lost_and_none_is_added_unseen() -> None:
    found = {name for parameter in get_command(train.program).params for name in parameter.opts}
    found |= {name for parameter in get_command(train.program).params for name in parameter.secondary_opts}
    assert found - {"folder"} == {option for option, _ in SETTING_OPTIONS.values()} | OTHER_OPTIONS | {
        "--no-carry-state"
    }


def test_each_field_is_an_option() -> None:
    assert [field.name for field in fields(TrainingOptions)] == list(SETTINGS)
    assert SETTINGS.keys() == SETTING_OPTIONS.keys()
    assert SPELLED.keys() <= SETTINGS.keys()


@pytest.mark.usefixtures("told")
@pytest.mark.parametrize("name", SETTING_OPTIONS)
def test_an_option_sets_its_field_and_no_other(name: str, tmp_path: Path) -> None:
    beside = ["--preset=quick", *(["--sampling", "random"] if name == "carry_state" else [])]
    before, after = asdict(options(tmp_path, *beside)), asdict(options(tmp_path, *beside, *given(name)))
    wanted = SETTING_OPTIONS[name][1]
    assert (after[name], type(after[name])) == (wanted, type(wanted))
    assert before[name] != wanted
    lifted = {"epochs", "time_budget_s"} if name == "steps" else set()
    assert {other for other in before if before[other] != after[other]} == {name} | lifted


@pytest.mark.usefixtures("told")
def test_all_options_at_once_and_a_switch_turned_off(tmp_path: Path) -> None:
    every = asdict(options(tmp_path, *(word for name in SETTING_OPTIONS for word in given(name))))
    assert every == {name: value for name, (_, value) in SETTING_OPTIONS.items()}
    assert options(tmp_path, "--carry-state", "--no-carry-state").carry_state is False
    assert options(tmp_path, "--backend", "numpy").backend == "cpu"


@pytest.mark.usefixtures("told")
def test_validation_is_spread_but_in_a_run_of_an_earlier_version(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert [options(tmp_path, "--preset", name).validation for name in PRESETS] == ["spread"] * len(PRESETS)
    recorded = asdict(TrainingOptions(validation_fraction=0.1))
    for before, validation in ((recorded, "spread"), ({**recorded, "validation": "end"}, "end")):
        monkeypatch.setattr(train, "read_snapshot", lambda _, found=before: Snapshot({}, {"options": found}))
        assert options(tmp_path, "--resume").validation == validation
    del recorded["validation"]
    monkeypatch.setattr(train, "read_snapshot", lambda _: Snapshot({}, {"options": recorded}))
    assert options(tmp_path, "--resume").validation == "end"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--num-layers", "9"], "num_layers: 9 is not from 1 to 4"),
        (["--hold", "nan"], "hold: nan is not a number"),
        (["--learning-rate", "0"], "learning_rate: 0 would learn nothing; it must be above 0"),
        (["--time-budget", "0"], "time_budget_s: 0.0 is not from 0.1 to 100000000.0"),
        (["--cell", "elman"], "cell: 'elman' is not one of rnn, gru, lstm"),
        (["--preset", "fast"], "preset: 'fast' is not one of chapter, quick, best"),
    ],
)
def test_what_is_out_of_bounds_is_told_before_the_text_is_read(
    arguments: list[str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def read(*_: Any) -> Corpus:
        raise AssertionError("the text was read")

    monkeypatch.setattr(train, "open_text", read)
    result = CliRunner().invoke(train.program, ["--out", str(tmp_path / "m"), *arguments])
    assert (result.exit_code, result.output) == (1, message + "\n")


def test_a_number_that_is_none_is_refused_by_the_name_of_its_option(tmp_path: Path) -> None:
    result = CliRunner().invoke(train.program, ["--out", str(tmp_path / "m"), "--num-layers", "2.5"])
    assert result.exit_code == 2
    assert "Invalid value for '--num-layers'" in result.output


@pytest.mark.parametrize("width", [80, 120])
def test_the_help_has_a_panel_for_each_subject_and_first_what_people_need_first(
    width: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("typer.rich_utils.MAX_WIDTH", width)
    shown = CliRunner().invoke(train.program, ["--help"]).output
    assert max(map(len, shown.splitlines())) <= width
    assert re.findall(r"^╭─ (.*?) ─*╮$", shown, re.M) == ["Arguments", "Options", *PANELS]
    panels = dict(re.findall(r"^╭─ (.*?) ─*╮$(.*?)^╰", shown, re.M | re.S))
    first = re.findall(r"^│ [* ]*(--[\w-]+)", panels["Options"], re.M)
    assert first == [f"--{SPELLED.get(name, name)}" for name in FIRST[1:]] + ["--help"]
    for name, setting in SETTINGS.items():
        panel = "Options" if name in FIRST else setting.group.capitalize()
        assert re.search(rf"^│ [* ]*{SETTING_OPTIONS[name][0]} ", panels[panel], re.M), name


def test_the_help_says_of_each_setting_what_it_may_be_and_what_it_is_in_the_preset() -> None:
    words = " ".join(re.sub(r"[│╭╰╮╯─]", " ", CliRunner().invoke(train.program, ["--help"]).output).split())
    for name, setting in SETTINGS.items():
        if setting.allowed:
            assert f"({setting.allowed})." in words, name
    for default in ("lstm", "(180)", "(64)", "0.995", "(12)", "best", "by the text"):
        assert default in words
    assert PRESETS["best"](0, 1, None)["cell"] == "lstm"
    assert "1,000,000" not in words  # no end
    assert "<list" not in words
