from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from model import checkpoint as checkpoints
from model.text.rules import TextRules
from nextchar.generate import program
from tests.beginnings import CASES, from_nothing
from tests.models import random_checkpoint
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
    (tmp_path / "prefixes.jsonl").write_text('""\n{"prefix": ""}\n')
    result = run(tmp_path, "--prefix-file", tmp_path / "prefixes.jsonl", "--num-chars", 20)
    assert result.stdout.splitlines() == [from_nothing(case, 20)[0]] * 2
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
        (["a", "b", "--unknown", "guess"], "unknown: 'guess' is not one of error, skip"),
        (["a", "--overwrite"], "--overwrite has no effect without --output"),
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


def texts_of(saved: Path, *arguments: object) -> list[dict[str, Any]]:
    return [json.loads(line) for line in run(saved, *arguments, "--json").stdout.splitlines()]


def test_texts_of_one_prefix_have_the_seeds_that_follow_in_order(saved: Path) -> None:
    sampled = ("--temperature", 1, "--num-chars", 12)
    found = texts_of(saved, "a", "b", "-n", 3, "--seed", 5, *sampled)
    assert [(one["prefix"], one["seed"]) for one in found] == [(prefix, seed) for prefix in "ab" for seed in (5, 6, 7)]
    assert found[4:5] == texts_of(saved, "b", "--seed", 6, *sampled)
    plain = run(saved, "a", "b", "--n", 3, "--seed", 5, *sampled)
    assert plain.stdout.splitlines() == [one["text"] for one in found]


def test_a_text_ends_before_a_stop_string_or_at_a_word(saved: Path) -> None:
    (whole,) = texts_of(saved, "a")
    stop = whole["generated"][30]
    (cut,) = texts_of(saved, "a", "--stop", "none", "--stop", stop)
    assert (cut["generated"], cut["finish_reason"]) == (whole["generated"].split(stop)[0], "stop")
    (cut,) = texts_of(saved, "a", "--end", "word", "--num-chars", 7)
    assert (whole["generated"].startswith(cut["generated"]), cut["finish_reason"]) == (True, "end")
    refused = run(saved, "a", "--end", "line")
    assert (refused.exit_code, refused.output) == (
        1,
        "end: this model has never seen the end of a line; it may be grapheme, word\n",
    )
    told = run(saved, "a", "--stop", r"\n")
    assert told.exit_code == 0
    assert told.stderr == "--stop '\\u000A' holds a character that this model never writes\n".replace(
        "\\u000A", "U+000A"
    )


def test_an_option_without_effect_is_named(saved: Path) -> None:
    told = run(saved, "a", "--top-k", 3, "--seed", 1, "-n", 2)
    assert (told.exit_code, told.stderr) == (
        0,
        "".join(
            f"--{name} has no effect while the likeliest is taken; give a --temperature above 0\n"
            for name in ("top-k", "seed", "n")
        ),
    )
    assert run(saved, "a", "--top-k", 3, "--seed", 1, "-n", 2, "--temperature", 1).stderr == ""
    assert run(saved, "a").stderr == ""


def test_a_line_end_is_understood_in_a_prefix(tmp_path: Path) -> None:
    checkpoints.save(tmp_path / "m", random_checkpoint(characters="ab\n\\", rules=TextRules(newlines="keep")))
    found = texts_of(tmp_path / "m", r"a\nb", r"a\\b", "--num-chars", 1)
    assert [one["prefix"] for one in found] == ["a\nb", "a\\b"]
    asked = run(tmp_path / "m", "--interactive", "--json", "--num-chars", 1, stdin="a\\nb\n\n")
    assert json.loads(asked.stdout)["prefix"] == "a\nb"


def test_a_bad_prefix_is_named_and_the_good_ones_are_written(saved: Path, tmp_path: Path) -> None:
    result = run(saved, "a", "本", "b", "--num-chars", 5)
    expected = [predict_rnn(prefix, 5, checkpoints.load(saved)) for prefix in "ab"]
    assert (result.exit_code, result.stdout.splitlines()) == (1, expected)
    assert result.stderr == "prefix 2: the model has never seen this character: '本' (U+672C) at position 0\n"
    (tmp_path / "given.txt").write_text("a\n\n本\nb\n", "utf-8")
    result = run(saved, "--prefix-file", tmp_path / "given.txt", "--num-chars", 5)
    assert (result.exit_code, result.stdout.splitlines()) == (1, expected)
    assert "given.txt, line 3: the model has never seen" in result.stderr
    result = run(saved, "--prefix-file", "-", "--num-chars", 5, "--temperature", 9, stdin="a\n")
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith("temperature: 9")


def test_different_texts_are_drawn_until_there_are_enough(tmp_path: Path) -> None:
    checkpoints.save(tmp_path / "m", random_checkpoint(characters="ab"))
    asked = (tmp_path / "m", "a", "--num-chars", 2, "--temperature", 1, "--seed", 3, "--unique")
    found = texts_of(*asked, "-n", 4)
    assert sorted(one["generated"] for one in found) == ["aa", "ab", "ba", "bb"]
    seeds = [one["seed"] for one in found]
    assert seeds == sorted(seeds)
    assert seeds[0] == 3
    many = run(*asked, "-n", 5)
    assert len(many.stdout.splitlines()) == 4
    assert (many.exit_code, many.stderr) == (0, "4 different texts instead of 5: 100 were drawn\n")
    greedy = run(tmp_path / "m", "a", "a", "b", "--unique", "-n", 2)
    assert len(greedy.stdout.splitlines()) == 2
    assert greedy.stderr.splitlines()[1:] == [
        f"prefix {number}: {found} instead of 2: greedy writes one; give --temperature"
        for number, found in ((1, "1 different text"), (2, "0 different texts"), (3, "1 different text"))
    ]


def test_texts_are_written_to_a_file(saved: Path, tmp_path: Path) -> None:
    path = tmp_path / "out.jsonl"
    done = run(saved, "a", "b", "--num-chars", 5, "--output", path)
    assert (done.exit_code, done.output) == (0, f"2 texts: {path}\n")
    assert [json.loads(line) for line in path.read_text("utf-8").splitlines()] == texts_of(
        saved, "a", "b", "--num-chars", 5
    )
    refused = run(saved, "a", "--output", path)
    assert refused.exit_code == 1
    assert "is there already; give another name, or --overwrite" in refused.stderr
    assert run(saved, "a", "--num-chars", 5, "--output", path, "--overwrite").exit_code == 0
    assert len(path.read_text("utf-8").splitlines()) == 1
    missing = tmp_path / "nowhere" / "out.txt"
    assert run(saved, "a", "--output", missing).exit_code == 1


def started(*arguments: object) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "nextchar", "generate", *map(str, arguments)]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, bufsize=0)


def test_one_text_is_written_as_it_comes_and_ctrl_c_keeps_what_there_is(saved: Path) -> None:
    process = started(saved, "分开", "--num-chars", 10**9)
    assert process.stdout is not None
    begun = process.stdout.read(200)
    process.send_signal(signal.SIGINT)
    rest, problem = process.communicate()
    assert (process.returncode, problem) == (130, b"")
    text = (begun + rest).decode()
    assert text.endswith("\n")
    whole = predict_rnn("分开", 60, checkpoints.load(saved))
    assert text[: len(whole)] == whole


@pytest.mark.slow  # test_written.py tells it of the parts
def test_ctrl_c_keeps_what_there_is_of_several_texts_in_the_file_too(saved: Path, tmp_path: Path) -> None:
    path = tmp_path / "out.jsonl"
    process = started(saved, "a", "b", "--num-chars", 10**9, "--output", path, "--stop", "本")
    assert process.stderr is not None
    process.stderr.readline()  # about the stop string: it begins now
    process.send_signal(signal.SIGINT)
    _, problem = process.communicate()
    assert (process.returncode, b"Traceback" in problem) == (130, False)
    found = [json.loads(line) for line in path.read_text("utf-8").splitlines()] if path.exists() else []
    assert all(one["finish_reason"] == "interrupted" for one in found)


def test_a_pipe_that_is_closed_ends_it_quietly(saved: Path) -> None:
    process = started(saved, "a", "--num-chars", 10**9)
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.read(10)
    process.stdout.close()
    assert (process.wait(), process.stderr.read()) == (0, b"")
    process.stderr.close()


def test_a_missing_checkpoint_is_named(tmp_path: Path) -> None:
    result = run(tmp_path / "nothing", "a")
    assert result.exit_code == 1
    assert "no such file" in result.stderr
