"""`nextchar evaluate` measures the very characters that training on the same file would read."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from model import checkpoint as checkpoints
from model.text.encoding import open_corpus
from model.text.rules import TextRules
from model.text.source import Source
from model.training import Trainer, TrainingOptions
from model.training.backends.cpu.backend import CpuBackend
from nextchar.evaluate import program
from tests.models import random_checkpoint, with_parameters

ROOT = Path(__file__).parent.parent.parent
LETTERS = "abcdefghijklmnopqrstuvwxyz .,'分开éıσς\u0307\n"


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The indices whose losses are computed, the first one's left out."""
    labels: list[int] = []
    real = CpuBackend.losses

    def losses(self: Any, data: Any, wanted: Any, state: Any) -> Any:
        labels.extend(wanted[0].tolist())
        return real(self, data, wanted, state)

    monkeypatch.setattr(CpuBackend, "losses", losses)
    return labels


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(
    st.lists(
        st.sampled_from(["\r\n", "\n", "\r", "\r\n\r\n", "aB", " ", "É", "e\u0301", "İ", "Σ", "分开", "x"]), min_size=3
    ).map("".join),
    st.booleans(), st.sampled_from(["space", "keep"]), st.sampled_from(["utf-8", "utf-16", "gb18030"]),
    st.none() | st.integers(1, 40), st.sampled_from([1.0, 0.5, 0.1]),
)  # fmt: skip
def test_a_text_measures_the_indices_that_training_reads(
    tmp_path: Path, measured: list[int], text: str, lowercase: bool, newlines: str, encoding: str,
    max_chars: int | None, last: float,
) -> None:  # fmt: skip
    rules = TextRules(lowercase, newlines)
    checkpoints.save(tmp_path / "m", random_checkpoint(characters=LETTERS + LETTERS.upper(), rules=rules))
    file = tmp_path / "text.txt"
    file.write_bytes(text.encode(encoding))
    trained = open_corpus(Source((str(file),), encoding, max_chars=max_chars), rules)
    held_out = trained.vocabulary.decode(trained.indices)
    held_out = held_out[len(held_out) - round(len(held_out) * last) :]
    vocabulary = checkpoints.load(tmp_path / "m").vocabulary
    known = vocabulary.known(held_out)
    measured.clear()
    options = ["--encoding", encoding, "--last", str(last), "--json"]
    options += ["--max-chars", str(max_chars)] if max_chars else []
    result = CliRunner().invoke(program, [str(tmp_path / "m"), str(file), *options])
    if len(known) < 2:
        assert result.exit_code == 1
        return
    assert result.exit_code == 0, result.output
    assert measured == vocabulary.encode(known).tolist()[1:]
    assert json.loads(result.output)["characters"] == len(known) - 1
    assert json.loads(result.output)["coverage"] == pytest.approx(len(known) / len(held_out))


def test_the_last_share_is_the_text_that_training_holds_out(tmp_path: Path, measured: list[int]) -> None:
    file = tmp_path / "text.txt"
    file.write_bytes(
        "Some İ Words,\r\n".encode() * 30 + b"and a few more. " * 30
    )  # 'İ' is two characters in lower case
    rules = TextRules()
    encoded = open_corpus(Source((str(file),)), rules)
    trainer = Trainer(
        encoded, TrainingOptions(validation_fraction=0.15, validation="end", num_steps=4, batch_size=4, hidden_dim=4)
    )
    checkpoints.save(tmp_path / "m", trainer.checkpoint())
    result = CliRunner().invoke(program, [str(tmp_path / "m"), str(file), "--last", "0.15"])
    assert result.exit_code == 0, result.output
    assert measured == np.asarray(encoded.indices[trainer.num_training + 1 :]).tolist()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--last", "0"], "last: 0.0 must be above 0 and at most 1"),
        (["--last", "1.5"], "last: 1.5 must be above 0 and at most 1"),
        (["--max-chars", "0"], "max_chars: 0 must be at least 1"),
        (["--encoding", "klingon"], "'klingon' is not one that Python knows"),
    ],
)
def test_what_cannot_be_measured_is_a_sentence(saved: Path, tmp_path: Path, arguments: list[str], message: str) -> None:
    (tmp_path / "text.txt").write_text("some text", encoding="utf-8")
    result = CliRunner().invoke(program, [str(saved), str(tmp_path / "text.txt"), *arguments])
    assert result.exit_code == 1
    assert message in result.output


def test_it_runs_as_a_command_and_shows_the_worst_and_best_lines(saved: Path, tmp_path: Path) -> None:
    (tmp_path / "text.txt").write_bytes(b"a first line\r\na second one\r\n")
    command = [sys.executable, "-m", "nextchar", "evaluate", str(saved), str(tmp_path / "text.txt")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.startswith("25 characters, 100.00% of the text known to the model")
    assert done.stdout.count("a first line") == done.stdout.count("a second one") == 2


def test_several_texts_are_joined_each_beginning_a_line(tmp_path: Path) -> None:
    checkpoints.save(tmp_path / "m", random_checkpoint(characters=LETTERS, rules=TextRules(newlines="keep")))
    parts = ["one text", "another one\n", "and a third\n"]
    for name, part in zip("abc", parts, strict=True):
        (tmp_path / name).write_text(part, encoding="utf-8")
    (tmp_path / "all").write_text("one text\nanother one\nand a third\n", encoding="utf-8")
    model, several, one = str(tmp_path / "m"), [str(tmp_path / name) for name in "abc"], [str(tmp_path / "all")]
    outputs = [CliRunner().invoke(program, [model, *texts]).output for texts in (several, one)]
    assert outputs[0] == outputs[1]
    assert "another one" in outputs[0]


def test_what_the_models_own_run_held_out_is_measured_without_being_named(tmp_path: Path) -> None:
    text = tmp_path / "text.txt"
    text.write_text("".join(f"Line {n} of {n * n}\n" for n in range(200)), encoding="utf-8")
    encoded = open_corpus(Source((str(text),), max_chars=2000), TextRules(newlines="keep"))
    run = Trainer(encoded, TrainingOptions(validation_fraction=0.1, num_steps=4, batch_size=4, hidden_dim=4, steps=1))
    list(run.events())
    checkpoints.save(tmp_path / "m", run.checkpoint())
    found = CliRunner().invoke(program, [str(tmp_path / "m"), str(text), "--held-out", "--json"])
    assert found.exit_code == 0, found.output
    measured = json.loads(found.output)
    assert measured["characters"] == run.split.validation_chars
    assert measured["perplexity"] == pytest.approx(run.checkpoint().training["validation_perplexity"], rel=1e-5)
    text.write_text("another text", encoding="utf-8")
    refused = CliRunner().invoke(program, [str(tmp_path / "m"), str(text), "--held-out"])
    assert refused.exit_code == 1
    assert refused.output == (
        "held_out: this is not the text that the model was trained on, which was 'text.txt' of 2,000 characters; give "
        "it as it was given to training\n"
    )


def test_a_long_line_is_shown_in_passages_that_fit_a_terminal(tmp_path: Path) -> None:
    checkpoints.save(tmp_path / "m", random_checkpoint(scale=3.0))
    (tmp_path / "text.txt").write_text("a line that goes on and on, without an end, " * 300, encoding="utf-8")
    result = CliRunner().invoke(program, [str(tmp_path / "m"), str(tmp_path / "text.txt")])
    lines = result.output.splitlines()
    assert max(map(len, lines)) <= 80
    assert [line for line in lines if not line.startswith("  ")][2:] == ["worst passages", "best passages"]
    assert len(lines) == 14


def test_figures_past_all_bounds_are_short(tmp_path: Path) -> None:
    plain = random_checkpoint()
    largest = np.finfo(np.float32).max
    extreme = {name: np.full(array.shape, largest, np.float32) for name, array in plain.parameters.items()}
    extreme["W_hy"][:, ::2] *= -1
    checkpoints.save(tmp_path / "m", with_parameters(plain, **extreme))
    (tmp_path / "text.txt").write_text("some words of a text", encoding="utf-8")
    arguments = [str(tmp_path / "m"), str(tmp_path / "text.txt")]
    result = CliRunner().invoke(program, arguments)
    assert result.exit_code == 0, result.output
    assert "perplexity 1.01e+304" in result.output
    assert max(map(len, result.output.splitlines())) <= 80
    assert json.loads(CliRunner().invoke(program, [*arguments, "--json"]).output)["nats_per_char"] > 1e38


@pytest.mark.parametrize(("text", "code"), [("éa", 1), ("é", 1), ("ab", 0), ("a b", 0)])
def test_a_text_of_a_few_known_characters_is_measured_or_a_sentence(tmp_path: Path, text: str, code: int) -> None:
    checkpoints.save(tmp_path / "m", random_checkpoint())
    (tmp_path / "text.txt").write_text(text, encoding="utf-8")
    result = CliRunner().invoke(program, [str(tmp_path / "m"), str(tmp_path / "text.txt")])
    assert result.exit_code == code
    if code:
        assert re.fullmatch(r"of the text's \d characters the model knows \d; it takes 2\n", result.output)
    else:
        assert result.output.splitlines()[2:] == []  # nothing is long enough to be a passage


def test_lines_are_printed_as_they_stand_in_the_text(tmp_path: Path) -> None:
    checkpoints.save(tmp_path / "m", random_checkpoint(characters=" :[]abcdefghijklmnopqrstuvwxyz\n"))
    (tmp_path / "text.txt").write_text("a :cat: and [b] a :smile:\n", encoding="utf-8")
    for options in ([], ["--json"]):
        result = CliRunner().invoke(program, [str(tmp_path / "m"), str(tmp_path / "text.txt"), *options])
        assert "a :cat: and [b] a :smile:" in result.output
