"""`nextchar score` says what `POST /score` says, of texts, a file or standard input."""

from __future__ import annotations

import io
import json
import math
import sys
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner, Result

import model
from app.native.answers import CharacterScore, ScoreAnswer
from model import checkpoint as checkpoints
from nextchar.score import program, score
from tests.models import random_checkpoint


def run(*arguments: object, stdin: bytes | str = "") -> Result:
    return CliRunner().invoke(program, [str(argument) for argument in arguments], input=stdin)


def test_a_line_of_json_has_the_fields_and_the_figures_of_the_services_answer(saved: Path) -> None:
    result = run(saved, "不分开", "a b", "--json")
    assert result.exit_code == 0, result.output
    lines = [json.loads(line) for line in result.stdout.splitlines()]
    lm = model.load(saved)
    for text, line in zip(("不分开", "a b"), lines, strict=True):
        assert ScoreAnswer.model_validate(line, strict=True).model_dump() == line
        assert list(line) == list(ScoreAnswer.model_fields)
        assert list(line["characters"][0]) == list(CharacterScore.model_fields)
        found = lm.score(text)
        assert (line["text"], line["model"]) == (text, saved.name)
        assert [c["character"] for c in line["characters"]] == list(text[1:])
        assert [c["logprob"] for c in line["characters"]] == found.measured.logprobs.tolist()
        assert [c["rank"] for c in line["characters"]] == [rank + 1 for rank in found.measured.ranks.tolist()]
        assert [c["entropy"] for c in line["characters"]] == found.measured.entropies.tolist()
        assert line["total"] == math.fsum(found.measured.logprobs)
        assert (line["mean"], line["perplexity"]) == (found.mean, found.perplexity)
        assert line["bits_per_char"] == pytest.approx(-line["mean"] / math.log(2))


@pytest.mark.parametrize("given", ["a folder", "a file", "a file from within its folder"])
def test_the_model_has_the_name_that_it_is_served_by(given: str, saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = checkpoints.checkpoint_path(saved)
    if given == "a file from within its folder":
        monkeypatch.chdir(saved)
        file = Path(file.name)
    line = json.loads(run(saved if given == "a folder" else file, "ab", "--json").stdout)
    assert line["model"] == saved.name


def test_a_text_from_a_file_and_from_standard_input_is_scored_without_its_last_line_end(
    saved: Path, tmp_path: Path
) -> None:
    wanted = run(saved, "分开 a", "--json").stdout
    file = tmp_path / "text.txt"
    for end in ("", "\n", "\r\n"):
        file.write_bytes(("分开 a" + end).encode())
        assert run(saved, "--file", file, "--json").stdout == wanted
        assert run(saved, "--json", stdin=("分开 a" + end).encode()).stdout == wanted
    file.write_bytes("分开 a\n".encode("gb18030"))
    assert run(saved, "--file", file, "--encoding", "gb18030", "--json").stdout == wanted
    both = run(saved, "ab", "--file", file, "--encoding", "gb18030", "--json").stdout.splitlines()
    assert [json.loads(line)["text"] for line in both] == ["ab", "分开 a"]


def test_unknown_characters_are_refused_or_left_out(saved: Path) -> None:
    refused = run(saved, "a本b")
    assert (refused.exit_code, refused.stdout) == (1, "")
    assert refused.stderr == "the model has never seen this character: '本' (U+672C) at position 1\n"
    skipped = run(saved, "a本b", "--unknown", "skip", "--json").stdout
    assert skipped == run(saved, "ab", "--json").stdout


def test_what_people_read_has_a_row_for_each_character_and_the_figures_of_the_whole(saved: Path) -> None:
    result = run(saved, "a b", "ab")
    body = json.loads(run(saved, "a b", "--json").stdout)
    space, b = [line for line in result.stdout.splitlines() if line.startswith("│")][:2]
    assert "' ' (U+0020)" in space
    assert f"{body['characters'][1]['logprob']:.3f}" in b
    assert f"│ {body['characters'][1]['rank']:>4} │" in b
    figures = f"total {body['total']:.4f} nats, mean {body['mean']:.4f} nats, {body['bits_per_char']:.4f} bits"
    assert figures in result.stdout
    assert f"perplexity {body['perplexity']:.3f}" in result.stdout
    assert max(map(len, result.stdout.splitlines())) <= 140


def test_a_table_ends_where_nobody_reads_on_and_the_figures_are_of_the_whole(
    saved: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nextchar.score.MAX_ROWS", 3)
    shown = run(saved, "a b c d").stdout
    assert len([line for line in shown.splitlines() if line.startswith("│")]) == 3
    assert "3 more characters, which --json has\n6 characters: total" in shown
    assert "more" not in run(saved, "abcd").stdout


def test_one_character_has_nothing_to_score(saved: Path) -> None:
    body = json.loads(run(saved, "a", "--json").stdout)
    assert (body["characters"], body["total"], body["perplexity"], body["bits_per_char"]) == ([], 0.0, 1.0, 0.0)
    assert math.copysign(1, body["bits_per_char"]) == 1
    result = run(saved, "a")
    assert result.exit_code == 0
    assert "nothing to score" in result.stdout


@pytest.mark.parametrize(
    ("arguments", "stdin", "message"),
    [
        ([""], "", "text: is empty; it must hold at least one character"),
        ([], "", "text: is empty; it must hold at least one character"),
        (["本", "--unknown", "skip"], "", "text: holds no character that the model knows"),
        (["a", "--unknown", "maybe"], "", "unknown: 'maybe' is not one of error, skip"),
        (["a", "--engine", "torch"], "", "engine: 'torch' is not one of"),
        (["--file", "nothing.txt"], "", "nothing.txt: no such file"),
        ([], b"\xff", "standard input: byte 0xff at offset 0 is not UTF-8"),
        ([], b"ab\xfe", "standard input: byte 0xfe at offset 2 is not UTF-8"),
        (["--encoding", "klingon"], b"a", "encoding: 'klingon' is not one"),
    ],
)
def test_what_cannot_be_done_is_one_sentence_and_a_status(
    saved: Path, arguments: list[str], stdin: bytes | str, message: str
) -> None:
    result = run(saved, *arguments, stdin=stdin)
    assert (result.exit_code, result.stdout, len(result.stderr.splitlines())) == (1, "", 1)
    assert message in result.stderr


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_nobody_waits_for_a_text_that_a_person_would_have_to_type(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", Terminal())
    with pytest.raises(typer.BadParameter, match="give at least one text, --file, or a text on standard input"):
        score(saved)


@pytest.mark.parametrize("as_json", [False, True])
def test_a_text_with_escape_sequences_does_not_command_the_terminal(
    as_json: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    title, shown = "\x1b]0;x\x07", Terminal()
    checkpoints.save(tmp_path / "m", random_checkpoint(characters=title))
    monkeypatch.setattr(sys, "stdout", shown)
    score(tmp_path / "m", [title], as_json=as_json)
    assert "\x07" not in shown.getvalue()
    assert "\x1b]" not in shown.getvalue()
    assert ("\\u0007" if as_json else "U+0007") in shown.getvalue()
