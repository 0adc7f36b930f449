from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from model import checkpoint as checkpoints
from model.export import mxnet as export
from model.export.onnx import TOLERANCE
from model.text.rules import TextRules
from model.versions import restore, versions
from nextchar.export import program
from tests.models import random_checkpoint
from tests.reference import needs_mxnet, predict_rnn


def run(*arguments: object) -> Result:
    return CliRunner().invoke(program, [str(argument) for argument in arguments])


def test_nothing_to_do_is_said(saved: Path) -> None:
    result = run(saved)
    assert result.exit_code == 2
    assert "give --onnx, --to-mxnet or --from-mxnet" in " ".join(result.output.split())


@needs_mxnet
def test_a_model_goes_out_as_the_chapters_arrays_and_comes_back_with_its_text(saved: Path, tmp_path: Path) -> None:
    out = run(saved, "--to-mxnet", tmp_path / "params")
    assert out.exit_code == 0, out.output
    back = run(tmp_path / "back", "--from-mxnet", tmp_path / "params")
    assert back.exit_code == 0, back.output
    texts = {predict_rnn("分开", 30, checkpoints.load(folder)) for folder in (saved, tmp_path / "back")}
    assert len(texts) == 1


@needs_mxnet
@pytest.mark.parametrize(
    ("flags", "rules"),
    [
        pytest.param((), TextRules(lowercase=True, newlines="space"), marks=pytest.mark.slow),
        (("--keep-case",), TextRules(lowercase=False, newlines="space")),
        pytest.param(("--keep-newlines",), TextRules(lowercase=True, newlines="keep"), marks=pytest.mark.slow),
    ],
)
def test_a_model_that_is_taken_in_reads_text_as_it_is_said(
    flags: tuple[str, ...], rules: TextRules, saved: Path, tmp_path: Path
) -> None:
    export.to_mxnet(checkpoints.load(saved), tmp_path / "params")
    taken_in = run(tmp_path / "back", "--from-mxnet", tmp_path / "params", *flags)
    assert taken_in.exit_code == 0, taken_in.output
    assert checkpoints.load(tmp_path / "back").rules == rules


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ('["a","a","b"]', "entries 0 and 1 are both 'a' (U+0061)"),
        ('["a","bc"]', "entry 1 is 'bc', it must be one character"),
        ("nonsense", "cannot be read as a JSON list of characters"),
    ],
)
def test_what_cannot_be_taken_in_is_one_sentence_and_a_status(words: str, message: str, tmp_path: Path) -> None:
    export.to_mxnet(random_checkpoint(), tmp_path / "params")
    (tmp_path / "words.json").write_text(words, encoding="utf-8")
    result = run(tmp_path / "m", "--from-mxnet", tmp_path / "params", "--vocabulary", tmp_path / "words.json")
    assert result.exit_code == 1
    assert message in result.output
    assert isinstance(result.exception, SystemExit)  # and nothing else
    assert not (tmp_path / "m").exists()


@needs_mxnet
@pytest.mark.slow
def test_a_model_that_is_taken_in_keeps_the_one_whose_place_it_takes(saved: Path, tmp_path: Path) -> None:
    before = checkpoints.load(saved).digest
    export.to_mxnet(random_checkpoint(seed=5), tmp_path / "params")
    result = run(saved, "--from-mxnet", tmp_path / "params")
    assert result.exit_code == 0, result.output
    assert checkpoints.load(saved).training["imported_from"] == "params"
    assert [version.digest for version in versions(saved)] == [before]
    assert restore(saved).digest == checkpoints.load(saved).digest == before


@needs_mxnet
@pytest.mark.slow
def test_a_file_that_is_taken_in_by_its_own_name_goes_there(tmp_path: Path) -> None:
    export.to_mxnet(random_checkpoint(), tmp_path / "params")
    assert run(tmp_path / "x.safetensors", "--from-mxnet", tmp_path / "params").exit_code == 0
    assert checkpoints.load(tmp_path / "x.safetensors").training["imported_from"] == "params"


def test_an_onnx_model_is_written(saved: Path, tmp_path: Path) -> None:
    result = run(saved, "--onnx", tmp_path / "m.onnx")
    assert result.exit_code == 0, result.output
    assert "its logits are within" in result.output
    assert (tmp_path / "m.onnx").stat().st_size > sum(a.nbytes for a in checkpoints.load(saved).parameters.values())
    assert json.loads(result.output.split("within ")[1].split(" of")[0]) < TOLERANCE


@needs_mxnet
def test_files_are_named_as_they_are(saved: Path, tmp_path: Path) -> None:
    assert f"wrote {tmp_path / '[b]params :cat:'} and" in run(saved, "--to-mxnet", tmp_path / "[b]params :cat:").output
    assert "[b]none :cat:" in run(tmp_path / "[b]none :cat:").output
