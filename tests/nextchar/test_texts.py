"""Each command reads texts in all the ways that they are stored."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from model.errors import CorpusError
from model.text.source import Source
from nextchar import evaluate, score, train
from tests.model.text.storing import zipped

TEXT = "分开 a b\nab ba\n"


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[Source]:
    """What training is told to read, which ends it."""
    sources: list[Source] = []

    def opened(source: Source, *_: Any, **__: Any) -> None:
        sources.append(source)
        raise CorpusError("told")

    monkeypatch.setattr(train, "open_text", opened)
    return sources


@pytest.mark.parametrize(
    ("arguments", "source"),
    [
        ([], Source(("lyrics",))),
        (["--corpus", "a.txt", "--corpus", "lyrics", "--corpus", "b/"], Source(("a.txt", "lyrics", "b/"))),
        (
            ["--corpus", "a", "--join", "document", "--errors", "replace"],
            Source(("a",), "utf-8", "replace", "document"),
        ),
        (["--corpus", "-", "--encoding", "auto", "--max-chars", "9"], Source(("-",), "auto", max_chars=9)),
    ],
)
def test_training_reads_every_corpus_that_is_given(
    arguments: list[str], source: Source, told: list[Source], tmp_path: Path
) -> None:
    result = CliRunner().invoke(train.program, ["--out", str(tmp_path / "m"), *arguments])
    assert (result.exit_code, result.output.strip().splitlines()[-1]) == (1, "told")
    assert told == [source]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--join", "comma"], "join: 'comma' is not one of line, document"),
        (["--errors", "ignore"], "errors: 'ignore' is not one of strict, replace"),
        (["--corpus", ""], "corpus: '' names no file"),
        (["--corpus", "-", "--corpus", "-"], "corpus: standard input can be read once, and is given twice"),
    ],
)
def test_what_is_none_of_the_choices_is_a_sentence(arguments: list[str], message: str, tmp_path: Path) -> None:
    result = CliRunner().invoke(train.program, ["--out", str(tmp_path / "m"), *arguments])
    assert (result.exit_code, result.output.strip().splitlines()[-1]) == (1, message)


@pytest.mark.parametrize("stored", ["plain", "gz", "zip", "folder", "-"])
def test_a_text_measures_and_scores_the_same_however_it_is_stored(stored: str, saved: Path, tmp_path: Path) -> None:
    (tmp_path / "text.txt").write_text(TEXT, encoding="utf-8")
    (tmp_path / "gz").write_bytes(gzip.compress(TEXT.encode("utf-16")))
    (tmp_path / "zip").write_bytes(zipped({"1.txt": b"", "2.txt": TEXT.replace("\n", "\r\n").encode()}))
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "2.txt").write_bytes(b"ab ba\r")
    (tmp_path / "folder" / "1.txt").write_bytes("分开 a b".encode("utf-8-sig"))
    given = {"plain": "text.txt", "-": "-"}.get(stored, stored)
    given = given if given == "-" else str(tmp_path / given)

    def measured(text: str) -> Any:
        result = CliRunner().invoke(evaluate.program, [str(saved), text, "--json"], input=TEXT)
        assert result.exit_code == 0, result.output
        return json.loads(result.output)

    def scored(*arguments: str) -> Any:
        result = CliRunner().invoke(score.program, [str(saved), *arguments, "--json", "--unknown", "skip"], input=TEXT)
        assert result.exit_code == 0, result.output
        return json.loads(result.output)

    assert measured(given) == measured(str(tmp_path / "text.txt"))
    assert scored("--file", given) == scored("--file", str(tmp_path / "text.txt")) == scored()
