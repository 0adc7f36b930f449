from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from model import checkpoint as checkpoints
from nextchar.generate import program
from tests.beginnings import CASES, from_nothing
from tests.reference import predict_rnn

ROOT = Path(__file__).parent.parent.parent


def run(*arguments: object, stdin: str = "") -> Result:
    return CliRunner().invoke(program, [str(argument) for argument in arguments], input=stdin)


def test_each_prefix_is_continued_as_the_reference_does(saved: Path) -> None:
    command = [sys.executable, "-m", "nextchar", "generate", str(saved), "分开", "不分开", "--num-chars", "20"]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    checkpoint = checkpoints.load(saved)
    assert result.stdout.splitlines() == [predict_rnn(prefix, 20, checkpoint) for prefix in ("分开", "不分开")]
    assert result.returncode == 0, result.stderr


def test_without_a_prefix_it_begins_where_a_text_begins(tmp_path: Path) -> None:
    case = CASES["drawn"]
    checkpoints.save(tmp_path, case.checkpoint)
    wishes: list[dict[str, Any]] = [{}, {"temperature": 1.2, "seed": 6}]
    for options in wishes:
        told = [word for name, value in options.items() for word in (f"--{name}", value)]
        expected = from_nothing(case, 20, **options)[0]
        for count in (0, 1, 2):
            result = run(tmp_path, *[""] * count, "--num-chars", 20, *told)
            assert (result.stdout.splitlines(), result.exit_code) == ([expected] * max(count, 1), 0)
    first = json.loads(run(tmp_path, "--json", "--num-chars", 20).stdout)
    assert (first["prefix"], first["text"], first["generated"]) == ("", first["text"], first["text"])


def test_a_seed_repeats_a_sampled_text(saved: Path) -> None:
    first = json.loads(run(saved, "a", "--temperature", 1, "--json").stdout)
    again = json.loads(run(saved, "a", "--temperature", 1, "--seed", first["seed"], "--json").stdout)
    assert first == again


def test_interactively_a_bad_prefix_is_told_and_the_next_is_asked_for(saved: Path) -> None:
    result = run(saved, "--interactive", "--num-chars", 5, stdin="本\na\n\nb\n")
    assert result.stdout.splitlines() == [predict_rnn("a", 5, checkpoints.load(saved))]
    assert "'本' (U+672C) at position 0" in result.stderr
    assert result.exit_code == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["本"], "'本' (U+672C)"),
        (["a", "--temperature", "9"], "temperature: 9"),
        (["a", "--device", "tpu"], "device: 'tpu'"),
        (
            ["a", "--num-chars", "99999999999999999999"],
            "num_chars: 99999999999999999999 is not at most 9007199254740992",
        ),
        (["a", "--num-chars", "9" * 100], "num_chars: a number of over 77 digits is not at most"),
        (["a", "--num-chars", "-1"], "num_chars: -1 is not a whole number of at least 0"),
    ],
)
def test_what_cannot_be_done_is_one_sentence_and_a_status(saved: Path, arguments: list[str], message: str) -> None:
    result = run(saved, *arguments)
    assert result.exit_code in (1, 2)
    assert message in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize("option", ["--engine", "--backend"])
def test_an_engine_is_asked_for_under_its_new_and_its_old_name(saved: Path, option: str) -> None:
    assert run(saved, "a", option, "onnxruntime").exit_code == 0
    refused = run(saved, "a", option, "torch")
    assert (refused.exit_code, refused.output) == (1, "engine: 'torch' is not one of auto, mxnet, onnxruntime\n")


def test_a_missing_checkpoint_is_named(tmp_path: Path) -> None:
    result = run(tmp_path / "nothing", "a")
    assert result.exit_code == 1
    assert "no such file" in result.stderr
