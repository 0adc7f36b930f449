from __future__ import annotations

import os
from pathlib import Path

import pytest
from typer.testing import CliRunner

from model import checkpoint as checkpoints
from model.errors import CorpusError, OptionError
from model.text.source import Source
from nextchar.resume import folder_of, source_for
from nextchar.train import program

pytestmark = pytest.mark.usefixtures("no_picture")

SMALL = ("--hidden-dim=8", "--batch-size=4", "--num-steps=8", "--pred-len=5", "--preset=quick", "--epochs=1000")


def call(*arguments: object) -> tuple[int, str]:
    result = CliRunner().invoke(program, [str(argument) for argument in arguments])
    assert "Traceback" not in result.output
    return result.exit_code, " ".join(result.output.split())


@pytest.mark.parametrize(
    ("out", "folder", "resume", "place"),
    [("a", None, False, "a"), ("a", None, True, "a"), (None, "a", True, "a"), (os.path.abspath("a"), "./a", True, "a")],
)
def test_a_folder_is_named_by_out_or_behind_resume(
    out: str | None, folder: str | None, resume: bool, place: str
) -> None:
    assert folder_of(out, folder, resume) == Path(place)


@pytest.mark.parametrize(
    ("out", "folder", "resume", "told"),
    [
        (None, "my.txt", False, "out: 'my.txt' stands without an option; give a text with --corpus"),
        ("a", "b", True, "out: is 'a', and --resume names 'b'; give one of them"),
        (None, None, True, "out: is missing; name the folder that the model is saved in"),
        (None, None, False, "out: is missing"),
        ("", None, False, "out: '' names no folder"),
        (None, "", True, "out: '' names no folder"),
    ],
)
def test_what_names_no_folder_is_a_sentence(out: str | None, folder: str | None, resume: bool, told: str) -> None:
    with pytest.raises(OptionError) as error:
        folder_of(out, folder, resume)
    assert str(error.value).startswith(told)


def test_a_text_is_the_one_that_is_named_else_the_one_of_the_run_else_the_lyrics() -> None:
    of_run = Source(("/a.txt",), "gb18030", "replace", "document", 9)
    assert source_for(None, None, None, None, None) == Source(("lyrics",))
    assert source_for(None, None, None, None, None, of_run) == of_run
    assert source_for(["b"], None, "strict", None, None, of_run) == Source(("b",), "gb18030", "strict", "document", 9)
    assert source_for(["b"], "utf-8", None, "line", 3) == Source(("b",), max_chars=3)
    with pytest.raises(CorpusError, match="the run read standard input, which is over; give the same text"):
        source_for(None, None, None, None, None, Source(("-",)))
    assert source_for(["b"], None, None, None, None, Source(("-",))).corpora == ("b",)


def test_a_run_goes_on_by_its_folder_alone_from_wherever(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a").mkdir()
    monkeypatch.chdir(tmp_path / "a")
    text = "Words of a text, as they were WRITTEN.\n" * 40
    Path("my.txt").write_bytes(text.encode("utf-16"))
    assert call("--corpus=my.txt", "--encoding=auto", "--out=m", "--steps=5", "--max-chars=1500", *SMALL)[0] == 0
    monkeypatch.chdir(tmp_path)
    assert call("--resume", "a/m", "--steps=9")[0] == 0
    assert checkpoints.load("a/m").training["steps"] == 9
    assert "W" in checkpoints.load("a/m").vocabulary.characters
    assert call("--out=a/m", "--resume", "--steps=10")[0] == 0
    (tmp_path / "a" / "my.txt").write_text(text.replace("WRITTEN", "written"))
    code, told = call("--resume", "a/m", "--steps=11")
    assert (code, "my.txt: is not the text that the run to resume read: the text has" in told) == (1, True)
    (tmp_path / "a" / "my.txt").unlink()
    code, told = call("--resume", "a/m", "--steps=11")
    assert code == 1
    assert f"{tmp_path}/a/my.txt: no such file" in told
    assert "the run read its text there, name where it is now with --corpus" in told
    (tmp_path / "b.txt").write_text(text)
    assert call("--resume", "a/m", "--steps=11", "--corpus=b.txt")[0] == 0
    assert checkpoints.load("a/m").training["steps"] == 11


def test_a_learning_rate_that_goes_up_again_is_told(tmp_path: Path) -> None:
    (tmp_path / "my.txt").write_text("words and words\n" * 100)
    run = ("--corpus", tmp_path / "my.txt", "--out", tmp_path / "m", *SMALL)
    assert "goes up" not in call(*run, "--steps=10")[1]
    told = call("--resume", tmp_path / "m", "--steps=20")[1]
    assert "the learning rate goes up from" in told
    assert "it falls over the run, whose epochs and steps changed" in told
    told = call("--resume", tmp_path / "m", "--learning-rate=1", "--override")[1]
    assert told.count("the learning rate goes up from") == 1
    assert "it was given anew" in told
