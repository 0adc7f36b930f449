"""The training script as a process: what it leaves, how it is interrupted, that a killed run is taken up exactly."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from model import checkpoint as checkpoints
from model.training.run import RESUME_NAME

ROOT = Path(__file__).parents[2]
TEXT = "the quick brown fox jumps over the lazy dog.\n" * 60
SMALL = [
    "--cell=lstm", "--hidden-dim=16", "--num-steps=8", "--batch-size=4", "--epochs=12", "--pred-len=30",
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


def tensors(out: Path) -> dict[str, bytes]:
    return {name: array.tobytes() for name, array in checkpoints.load(out).parameters.items()}


def test_a_killed_run_that_is_taken_up_ends_with_the_bytes_of_one_that_was_not(text: Path, tmp_path: Path) -> None:
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    finish(start(text, whole))
    kills, resume = 0, []
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
    finish(start(text, broken, "--resume"))
    assert tensors(broken) == tensors(whole)
    epochs = [
        [json.loads(x)["epoch"] for x in (out / "metrics.jsonl").read_text().splitlines()] for out in (whole, broken)
    ]
    assert epochs == [list(range(1, 13))] * 2


def test_a_run_leaves_figures_a_picture_and_samples_and_is_not_repeated(text: Path, tmp_path: Path) -> None:
    out = tmp_path / "model"
    assert "epoch 12" in finish(start(text, out, "--tensorboard"))
    lines = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    wanted = (
        "epoch epoch_seconds chars_per_second train_perplexity validation_perplexity learning_rate grad_norm memorised"
    )
    assert all(set(wanted.split()) <= set(line) for line in lines)
    assert (out / "training.png").read_bytes().startswith(b"\x89PNG")
    assert "'the'" in (out / "samples.txt").read_text()
    assert list((out / "tensorboard").iterdir())
    digest = checkpoints.load(out).digest
    assert "nothing to do" in finish(start(text, out, "--if-missing"))
    assert checkpoints.load(out).digest == digest


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
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
        process = start(text, tmp_path / "model", *flags)
        output, _ = process.communicate(timeout=60)
        assert process.returncode == 1
        assert words in output
        assert "Traceback" not in output
