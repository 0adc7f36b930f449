from __future__ import annotations

import json
import os
import sys
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from model.plain_record import read_record, worded
from model.text.beginning import beginning
from model.text.corpus import Corpus
from model.text.encoding import encode, open_corpus
from model.text.rules import TextRules
from model.text.source import Reading, Source
from model.training import Trainer, TrainingOptions
from model.training.position import Position
from model.training.report import record as module
from model.training.report.record import MAX_HISTORY, training_record
from tests.reference import MXNET_EXISTS, mx

TEXT = "the quick brown fox jumps over the lazy dog; " * 10


def trainer(position: Position | None = None, ended: str | None = None, **options: Any) -> Trainer:
    corpus = encode(Corpus("a text", TEXT, "5" * 64), TextRules())
    made = Trainer(corpus, TrainingOptions(hidden_dim=4, num_steps=8, batch_size=2, backend="cpu", **options))
    made.position, made.ended = position or Position(), ended
    return made


def test_it_holds_what_it_takes_to_train_again() -> None:
    options: dict[str, Any] = {"cell": "gru", "prefixes": ("the",), "steps": 5, "seed": 3}
    record = json.loads(json.dumps(worded(training_record(trainer(**options))), allow_nan=False))
    assert TrainingOptions.from_record(record["options"]) == trainer(**options).options
    assert record["corpus"] == {"name": "a text", "sha256": "5" * 64, "chars": 450, "document_end": None}
    assert record["versions"]["numpy"] == np.__version__
    assert record["backend"] == "cpu"


def test_it_says_how_texts_begin() -> None:
    reading = Reading(("one", "two"), line_starts={"t": 2, "q": 5})
    made = trainer()
    made.corpus = replace(made.corpus, reading=reading)
    assert training_record(made)["starts"] == {"documents": 2, "first_characters": {"q": 5, "t": 2}}


def test_what_is_read_of_a_file_is_how_its_model_begins(tmp_path: Path) -> None:
    (tmp_path / "names.txt").write_text("bo\n\nann\nal\n")
    made = trainer()
    for rules, read in ((TextRules(), ""), (TextRules(newlines="keep"), "\n")):
        made.corpus = open_corpus(Source((str(tmp_path / "names.txt"),)), rules)
        record = read_record(json.dumps(worded(training_record(made))))
        assert record["starts"]["first_characters"] == {"a": 2, "b": 1}
        vocabulary = made.corpus.vocabulary
        found = beginning(record, vocabulary, np.zeros(len(vocabulary), np.float32))
        assert found.read == read
        if not read:
            assert found.first is not None
            assert vocabulary.characters[found.first.argmax()] == "a"


def test_it_says_how_far_the_run_came_and_on_what_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    at = Position(epoch=2, step=57, seconds=1.23456, memorised=0.25, history=[(1, 0.5, 3.0, None), (2, 1.0, 2.0, 2.5)])
    record = training_record(trainer(at, "epochs"))
    assert (record["steps"], record["seconds"], record["memorised"]) == (57, 1.235, 0.25)
    assert record["history"] == [
        {"epoch": 1, "seconds": 0.5, "train_perplexity": 3.0, "validation_perplexity": None},
        {"epoch": 2, "seconds": 1.0, "train_perplexity": 2.0, "validation_perplexity": 2.5},
    ]
    assert record["machine"] == os.uname().machine
    assert record["threads"] == len(os.sched_getaffinity(0))
    assert record["versions"] == {
        "nextchar": version("nextchar"), "python": sys.version.split()[0], "numpy": np.__version__,
        "mxnet": mx.__version__ if MXNET_EXISTS else None,
    }  # fmt: skip
    monkeypatch.setattr(module, "MXNET_PACKAGES", ("there-is-none", "also-not"))
    assert training_record(trainer())["versions"]["mxnet"] is None


def test_its_perplexity_is_that_of_the_best_loss_and_only_of_what_was_held_out() -> None:
    at = Position(epoch=4, best_loss=1.25, best_epoch=3, train_perplexity=2.5)
    assert training_record(trainer(at))["validation_perplexity"] is None
    held_out = training_record(trainer(at, validation_fraction=0.2))
    assert held_out["validation_perplexity"] == pytest.approx(2.718281828459045**1.25)
    assert (held_out["train_perplexity"], held_out["epochs"], held_out["best_epoch"]) == (2.5, 4, 3)
    assert training_record(trainer(validation_fraction=0.2))["validation_perplexity"] is None
    assert training_record(trainer())["train_perplexity"] is None


@pytest.mark.parametrize(
    "options", [{}, {"validation_fraction": 0.2}, {"validation_fraction": 0.2, "validation": "end"}]
)
def test_it_says_which_characters_were_held_out(options: dict[str, Any]) -> None:
    run = trainer(**options)
    found = json.loads(json.dumps(training_record(run)))["held_out"]
    if not options:
        assert found is None
    elif "validation" in options:
        assert found == [[360, 450]]
    else:
        assert [tuple(block) for block in found] == list(run.split.blocks) != [(360, 450)]


def test_the_epoch_is_that_of_the_parameters_that_are_kept() -> None:
    at = Position(epoch=4, best_loss=1.25, best_epoch=3)
    assert training_record(trainer(at))["best_epoch"] == 4
    assert training_record(trainer(at, "diverged"))["best_epoch"] == 3
    assert [training_record(trainer(at, ended))["diverged_in_epoch"] for ended in ("epochs", "diverged")] == [None, 5]


@pytest.mark.parametrize(
    ("ended", "timed", "changed", "repeatable"),
    [
        ("epochs", False, [], True),
        ("steps", False, [], True),
        ("patience", False, [], True),
        ("diverged", False, [], True),
        ("stopped", False, [], False),
        (None, False, [], False),
        ("epochs", True, [], False),
        ("epochs", False, ["seed"], False),
    ],
)
def test_a_run_is_repeatable_where_only_its_options_had_a_say(
    ended: str | None, timed: bool, changed: list[str], repeatable: bool
) -> None:
    record = training_record(trainer(Position(epoch=1, timed=timed, changed=changed), ended))
    assert (record["repeatable"], record["ended"], record["changed_on_resume"]) == (repeatable, ended, changed)


def test_it_says_when_it_was_saved() -> None:
    saved = datetime.fromisoformat(training_record(trainer())["saved_at"])
    assert timedelta(seconds=-1) <= datetime.now(timezone.utc) - saved < timedelta(minutes=10)


@pytest.mark.parametrize("epochs", [0, 1, MAX_HISTORY, MAX_HISTORY + 1, 1000, 12345])
def test_a_long_history_is_thinned_evenly_to_its_end(epochs: int) -> None:
    rows: list[tuple[int, float, float, float | None]] = [(n, float(n), 2.0, None) for n in range(1, epochs + 1)]
    shown = [row["epoch"] for row in training_record(trainer(Position(history=rows)))["history"]]
    assert len(shown) <= MAX_HISTORY
    assert len(shown) >= min(epochs, MAX_HISTORY // 2)
    assert shown[-1:] == ([epochs] if epochs else [])
    assert len(set(np.diff(shown))) <= 1
