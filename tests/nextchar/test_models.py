from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from model.checkpoint import FILE_NAME, load
from model.versions import publish
from nextchar.models import program
from tests.models import random_checkpoint


def call(*arguments: object) -> tuple[int, str]:
    result = CliRunner().invoke(program, [str(a) for a in arguments])
    return result.exit_code, result.output


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for seed in range(3):
        record = {"train_perplexity": 1.5 + seed, "saved_at": "2026-01-02T03:04:05"}
        publish(tmp_path / "[m]", replace(random_checkpoint(seed=seed), training=record))
    return tmp_path / "[m]"


def test_the_model_and_its_versions_are_listed_and_one_comes_back(folder: Path) -> None:
    digest = load(folder).digest
    code, output = call("list", folder)
    lines = [line for line in output.splitlines() if "2026-01-02 03:04:05" in line]
    assert code == 0
    assert [word for word in output.splitlines()[1].split() if word != "┃"] == [
        "digest", "saved", "perplexity", "validation",
    ]  # fmt: skip
    assert ["3.500" in lines[0], "2.500" in lines[1], "1.500" in lines[2]] == [True] * 3
    assert digest[:12] in lines[0]
    assert "the model" in lines[0]
    first = lines[2].split()[1]
    assert first in call("restore", folder, first)[1]
    assert load(folder).digest.startswith(first)
    assert f"the model is {digest[:12]} again; {first} is kept" in call("restore", folder)[1]
    assert "nothing to do" in call("restore", folder, digest)[1]
    (folder / FILE_NAME).unlink()
    assert call("restore", folder, first)[1] == f"{folder}: the model is {first} again\n"


def test_what_cannot_be_done_is_one_sentence_and_code_1(folder: Path, tmp_path: Path) -> None:
    for arguments, words in {
        ("list", tmp_path / "nothing"): "holds no model",
        ("restore", tmp_path / "nothing"): "no version to go back to",
        ("restore", folder, "xyz"): "[m] has no version 'xyz'",
    }.items():
        code, output = call(*arguments)
        assert (code, len(output.splitlines())) == (1, 1)
        assert words in output


def test_a_folder_is_named_as_it_is(tmp_path: Path) -> None:
    assert "[m] :cat:: holds no model" in call("list", tmp_path / "[m] :cat:")[1]
