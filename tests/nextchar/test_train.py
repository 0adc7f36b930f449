"""The training command as a process: what it leaves, how it is interrupted, that a killed run is taken up exactly."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner

from model import checkpoint as checkpoints
from model import versions
from model.training.run import RESUME_NAME, read_snapshot
from nextchar.train import program

ROOT = Path(__file__).parents[2]
TEXT = "the quick brown fox jumps over the lazy dog.\n" * 30
SMALL = [
    "--cell=lstm", "--hidden-dim=8", "--num-steps=8", "--batch-size=4", "--epochs=12", "--pred-len=30",
    "--pred-period=6", "--validation-fraction=0.1", "--dropout-output=0.2", "--averaging=0.9",
    "--time-budget=100000", "--hold=1", "--prefix=the",
]  # fmt: skip


@pytest.fixture
def text(tmp_path: Path) -> Path:
    file = tmp_path / "text.txt"
    file.write_text(TEXT, encoding="utf-8")
    return file


def start(text: Path, out: Path, *more: str) -> subprocess.Popen[str]:
    command = [sys.executable, "scripts/train.py", "--corpus", str(text), "--out", str(out), *SMALL, *more]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.Popen(
        command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


def finish(process: subprocess.Popen[str]) -> str:
    output, _ = process.communicate(timeout=120)
    assert process.returncode == 0, output
    return output


def call(text: Path, out: Path, *flags: str) -> tuple[int, str]:
    """The command in this process: its exit code and what it printed."""
    result = CliRunner().invoke(program, ["--corpus", str(text), "--out", str(out), *flags])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, result.output


def tensors(out: Path) -> dict[str, bytes]:
    return {name: array.tobytes() for name, array in checkpoints.load(out).parameters.items()}


@pytest.mark.slow
def test_a_killed_run_that_is_taken_up_ends_with_the_bytes_of_one_that_was_not(text: Path, tmp_path: Path) -> None:
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    assert call(text, whole, *SMALL)[0] == 0
    kills, resume = 0, list[str]()
    while kills < 2:
        process = start(text, broken, "--save-every", "0", *resume)
        while process.poll() is None and not (broken / RESUME_NAME).exists():
            time.sleep(0.01)
        before = (broken / RESUME_NAME).stat().st_mtime_ns
        while process.poll() is None and (broken / RESUME_NAME).stat().st_mtime_ns < before + 50_000_000:
            time.sleep(0.002)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        kills, resume = kills + 1, ["--resume"]
    assert call(text, broken, *SMALL, "--resume")[0] == 0
    assert tensors(broken) == tensors(whole)
    epochs = [
        [json.loads(x)["epoch"] for x in (out / "metrics.jsonl").read_text().splitlines()] for out in (whole, broken)
    ]
    assert epochs == [list(range(1, 13))] * 2


def test_a_run_leaves_figures_a_picture_and_samples_and_is_not_repeated(text: Path, tmp_path: Path) -> None:
    out = tmp_path / "model"
    output = call(text, out, *SMALL, "--tensorboard")[1]
    assert "epoch 12" in output
    assert "--epochs 12 are done: 12 epochs, " in output
    lines = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    wanted = (
        "epoch epoch_seconds chars_per_second train_perplexity validation_perplexity learning_rate grad_norm memorised"
    )
    assert all(set(wanted.split()) <= set(line) for line in lines)
    assert (out / "training.png").read_bytes().startswith(b"\x89PNG")
    assert "'the'" in (out / "samples.txt").read_text()
    assert list((out / "tensorboard").iterdir())
    digest = checkpoints.load(out).digest
    code, output = call(text, out, *SMALL, "--if-missing")
    assert (code, "nothing to do" in output) == (0, True)
    assert checkpoints.load(out).digest == digest


@pytest.mark.parametrize("number", [pytest.param(signal.SIGINT, marks=pytest.mark.slow), signal.SIGTERM])
def test_a_signal_ends_the_run_with_what_there_is_saved(number: int, text: Path, tmp_path: Path) -> None:
    out = tmp_path / "model"
    process = start(text, out, "--epochs", "100000", "--save-every", "0")
    while process.poll() is None and not (out / RESUME_NAME).exists():
        time.sleep(0.01)
    process.send_signal(number)
    assert "stopped" in finish(process)
    assert checkpoints.load(out).training["steps"] > 0


def test_errors_are_one_sentence(text: Path, tmp_path: Path) -> None:
    for flags, words in {("--cell", "elman"): "cell: 'elman'", ("--batch-size", "5000"): "would fit"}.items():
        code, output = call(text, tmp_path / "model", *SMALL, *flags)
        assert (code, len(output.splitlines())) == (1, 1)
        assert words in output


def files(folder: Path) -> dict[str, bytes]:
    return {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


@pytest.mark.usefixtures("no_picture")
def test_a_folder_that_holds_a_model_is_refused_and_overwriting_keeps_it_as_a_version(
    text: Path, tmp_path: Path
) -> None:
    out = tmp_path / "model"
    assert call(text, out, *SMALL, "--epochs=1")[0] == 0
    before, first = files(out), checkpoints.load(out).digest
    code, output = call(text, out, *SMALL, "--epochs=1")
    assert (code, len(output.splitlines())) == (1, 1)
    assert "--resume" in output
    assert "--overwrite" in output
    assert files(out) == before
    assert call(text, out, *SMALL, "--epochs=1", "--seed=1", "--overwrite")[0] == 0
    assert [version.digest for version in versions.versions(out)] == [first]
    (out / "model.safetensors").unlink()
    assert call(text, out, *SMALL)[0] == 1  # there is still a run


@pytest.mark.usefixtures("no_picture")
def test_a_run_goes_on_with_the_settings_it_had_and_others_are_refused_by_name(text: Path, tmp_path: Path) -> None:
    out = tmp_path / "model"
    assert call(text, out, *SMALL, "--epochs=1", "--keep-newlines", "--keep-case")[0] == 0
    before = files(out)
    for flags, words in {
        ("--seed=1", "--learning-rate=0.5"): "learning_rate was 0.01, now 0.5, seed was 0, now 1 (--override",
        ("--validation-fraction=0.2", "--override"): "validation_fraction was 0.1, now 0.2 (no run can",
        ("--no-keep-newlines",): "what becomes of line ends was keep, now space",
        ("--overwrite",): "resume: goes on with the run that --overwrite would remove",
        ("--preset=chapter", "--keep-newlines"): "num_steps was 8, now 35",
    }.items():
        code, output = call(text, out, "--resume", *flags)
        assert code == 1
        assert words in output
    assert "override: is for --resume" in call(text, out, "--override")[1]
    assert files(out) == before
    assert call(text, out, "--resume", "--epochs=2")[0] == 0
    record = checkpoints.load(out).training
    assert (record["epochs"], record["options"]["hidden_dim"], record["changed_on_resume"]) == (2, 8, ["epochs"])
    assert checkpoints.load(out).rules.newlines == "keep"
    assert call(text, out, "--resume", "--epochs=3", "--seed=1", "--override")[0] == 0
    assert checkpoints.load(out).training["changed_on_resume"] == ["epochs", "seed"]


@pytest.mark.usefixtures("no_picture")
def test_if_missing_goes_on_with_a_run_that_was_cut_before_it_left_a_model(text: Path, tmp_path: Path) -> None:
    out = tmp_path / "model"
    call(text, out, *SMALL, "--epochs=2")
    (out / "model.safetensors").unlink()
    steps = read_snapshot(out).facts["position"]["step"]
    code, output = call(text, out, *SMALL, "--epochs=3", "--if-missing")
    assert code == 0
    assert checkpoints.load(out).training["steps"] == steps * 3 // 2
    (out / "model.safetensors").write_bytes(b"damaged")
    (out / RESUME_NAME).unlink()
    code, output = call(text, out, *SMALL, "--epochs=1", "--if-missing")
    assert code == 0
    assert "training it anew" in output
    assert checkpoints.load(out).training["epochs"] == 1


@pytest.mark.usefixtures("no_picture")
def test_steps_alone_end_a_run_and_twice_the_same_way(text: Path, tmp_path: Path) -> None:
    """The preset's own epochs and time budget do not end it."""
    small = ["--preset=quick", "--hidden-dim=8", "--num-steps=4", "--pred-len=2", "--pred-period=1000"]
    outs = [tmp_path / "a", tmp_path / "b"]
    for out in outs:
        assert call(text, out, *small, "--steps=200", "--batch-size=32")[0] == 0
    records = [checkpoints.load(out).training for out in outs]
    assert [(r["steps"], r["ended"], r["repeatable"]) for r in records] == [(200, "steps", True)] * 2
    assert records[0]["epochs"] > 16
    assert records[0]["options"]["time_budget_s"] is None
    assert tensors(outs[0]) == tensors(outs[1])


@pytest.mark.usefixtures("no_picture")
def test_a_text_of_180_characters_trains_and_says_how(text: Path, tmp_path: Path) -> None:
    """With no setting but the size, which makes it quick."""
    text.write_text(TEXT[:180])
    code, output = call(text, tmp_path / "model", "--hidden-dim=8", "--pred-len=5")
    assert code == 0
    for line in (
        "180 characters are too few to hold some out: 200 updates, and no validation",
        "batch 4 × 16 steps, so that 180 characters fill one",
        "--steps 200 are done: ",
    ):
        assert line in output
    assert checkpoints.load(tmp_path / "model").training["repeatable"] is True
    code, output = call(text, tmp_path / "other", "--batch-size=32", "--num-steps=64")
    assert (code, output) == (
        1, "the text has 180 characters; batch_size 32 with num_steps 64 needs 2080; "
        "batch_size 2 with num_steps 64 would fit\n",
    )  # fmt: skip


@pytest.mark.usefixtures("no_picture")
def test_the_best_preset_is_the_default_and_says_why_it_ended(text: Path, tmp_path: Path) -> None:
    quick = ["--hidden-dim=8", "--pred-len=5", "--patience=2", "--eval-every=1", "--learning-rate=0.2"]
    code, output = call(text, tmp_path / "model", *quick)
    record = checkpoints.load(tmp_path / "model").training
    assert (code, record["ended"], record["options"]["cell"]) == (0, "patience", "lstm")
    assert f"validation has not improved for 2 validations (since epoch {record['best_epoch']}): " in output


@pytest.mark.usefixtures("no_picture")
def test_a_run_whose_size_was_measured_goes_on_with_that_size(text: Path, tmp_path: Path) -> None:
    out = tmp_path / "model"
    assert call(text, out, "--preset=best", "--hidden-dim=8", "--pred-len=5", "--epochs=1")[0] == 0
    assert call(text, out, "--preset=best", "--pred-len=5", "--epochs=2", "--resume")[0] == 0
    assert checkpoints.load(out).config.hidden_dim == 8


def test_a_name_that_would_never_be_served_is_refused_before_anything_is_written(text: Path, tmp_path: Path) -> None:
    for name in ("Mine", "my model"):
        code, output = call(text, tmp_path / name, *SMALL)
        assert code == 1
        assert f"out: '{name}' cannot be a model's name" in output
        assert not (tmp_path / name).exists()


def test_without_tensorboardx_its_events_are_refused_before_anything_is_written(
    text: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "tensorboardX", None)
    code, output = call(text, tmp_path / "model", *SMALL, "--tensorboard")
    assert (code, output) == (1, "tensorboard: tensorboardX is not installed (the extra `tensorboard` brings it)\n")
    assert not (tmp_path / "model").exists()


@pytest.mark.usefixtures("no_picture")
def test_a_run_that_diverges_has_its_own_exit_code(text: Path, tmp_path: Path) -> None:
    out = tmp_path / "model"
    code, output = call(text, out, *SMALL, "--learning-rate=1000", "--clipping-theta=1e9", "--validation-fraction=0")
    assert code == 3
    assert "epoch 1: training has diverged" in output
    assert "--learning-rate" in output
    assert "nothing is saved" in output
    assert not (out / "model.safetensors").exists()
    assert call(text, out, *SMALL, "--epochs=2", "--overwrite")[0] == 0
    (
        out / "model.safetensors"
    ).unlink()  # which is of these epochs: a model that stands there already is not written anew
    steep = ("--learning-rate=1000", "--clipping-theta=1e9", "--epochs=12")
    code, output = call(text, out, "--resume", "--override", *steep)
    record = checkpoints.load(out).training
    assert code == 4
    assert f"saved {out / 'model.safetensors'} as it was after epoch {record['best_epoch']}" in output
    assert (record["ended"], record["diverged_in_epoch"]) == ("diverged", record["epochs"] + 1)
    for line in (out / "metrics.jsonl").read_text().splitlines():
        json.loads(line, parse_constant=lambda constant: pytest.fail(constant))


@pytest.mark.usefixtures("no_picture")
def test_what_people_call_their_texts_and_prefixes_is_printed_as_it_is(tmp_path: Path) -> None:
    text = tmp_path / "my [b]text \\[x] :smile:.txt"
    text.write_text("the [/red] fox \\[b] :cat: jumps. " * 30)
    code, output = call(
        text, tmp_path / "model", *SMALL, "--epochs=1", "--prefix=the [/red] fox \\[b] :cat:", "--pred-len=1"
    )
    assert code == 0
    assert f"{text.name}: " in output
    assert " - the [/red] fox \\[b] :cat:" in output
    code, output = call(tmp_path / "no [b]file", tmp_path / "other", *SMALL)
    assert code == 1
    assert "no [b]file" in output


@pytest.mark.usefixtures("no_picture")
def test_the_default_model_opens_with_no_warning_about_itself(tmp_path: Path) -> None:
    """What its samples quote is measured when they are written, and said then."""
    result = CliRunner().invoke(
        program, ["--preset=quick", "--out", str(tmp_path / "lyrics"), "--steps=1", "--prefix=分开"]
    )
    assert result.exit_code == 0
    assert "by heart" not in result.output
