"""`nextchar runs` lists whatever models lie in a folder, whoever wrote their records."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

from typer.testing import CliRunner

from model import checkpoint as checkpoints
from nextchar.runs import program
from tests.models import random_checkpoint


def cells(line: str) -> list[str]:
    return [cell.strip() for cell in re.split("[┃│]", line)[1:-1]]


def test_models_stand_beside_each_other_with_their_figures(tmp_path: Path) -> None:
    record = {
        "options": {
            "batch_size": 32, "num_steps": 35, "optimizer": "adam", "learning_rate": 0.002, "sampling": "random",
        },
        "epochs": 7, "seconds": 12.4, "train_perplexity": 3.14159, "validation_perplexity": 4.5, "memorised": 0.25,
    }  # fmt: skip
    checkpoints.save(tmp_path / "one", replace(random_checkpoint("lstm", 2), training=record))
    checkpoints.save(tmp_path / "two", replace(random_checkpoint(), training={"train_perplexity": float("inf")}))
    output = CliRunner().invoke(program, [str(tmp_path)]).output
    headings, one, two = [line for line in output.splitlines() if set(line) & set("┃│")]
    assert cells(headings) == [
        "model", "cell", "N×T", "optimizer", "rate", "sampling", "epochs", "seconds", "perplexity", "validation",
        "by heart",
    ]  # fmt: skip
    assert cells(one) == ["one", "lstm 2×16", "32×35", "adam", "0.002", "random", "7", "12", "3.142", "4.500", "25%"]
    assert cells(two) == ["two", "rnn 1×16", "?×?", "?", "?", "?", "?", "", "inf", "", ""]


def test_an_odd_record_or_file_is_shown_and_hides_no_other(tmp_path: Path) -> None:
    odd = {
        "options": [1],
        "seconds": "[red]",
        "train_perplexity": {"a": 1},
        "epochs": "\x1b]0;x\x07",
        "memorised": True,
    }
    checkpoints.save(tmp_path / "odd", replace(random_checkpoint(), training=odd))
    (tmp_path / "[bold]bad").mkdir()
    (tmp_path / "[bold]bad" / checkpoints.FILE_NAME).write_bytes(b"[/nonsense]")
    checkpoints.save(tmp_path / "plain", random_checkpoint())
    result = CliRunner().invoke(program, [str(tmp_path)])
    assert result.exit_code == 0, result.output
    assert "plain" in result.output
    assert "[bold]bad" in result.output
    words = "".join(cells(line)[1] for line in result.output.splitlines() if "│" in line)  # folded anywhere
    assert "is not a safetensors file".replace(" ", "") in words.replace(" ", "")
    assert "[red]" in result.output
    assert "\x1b" not in result.output


def test_a_folder_is_named_as_it_is(tmp_path: Path) -> None:
    result = CliRunner().invoke(program, [str(tmp_path / "[b]no :cat:")])
    assert "[b]no :cat:" in "".join(result.output.splitlines())
