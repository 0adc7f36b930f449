from __future__ import annotations

import hashlib
import json
import os
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any

import pytest

from model.errors import CheckpointError
from model.text.corpus import Corpus
from model.text.encoding import EncodedCorpus, encode
from model.text.rules import TextRules
from model.text.source import Source
from model.training.options import SETTINGS, TrainingOptions
from model.training.resuming import FIXED, FREE, LENGTH, changes, check_text, source_of, text_facts

BEFORE = TrainingOptions(num_layers=2, sampling="consecutive", time_budget_s=5.0, prefixes=("a", "b"))

HERE = os.getcwd()


def another(name: str) -> TrainingOptions:
    value: Any = getattr(BEFORE, name)
    if SETTINGS[name].choices:
        value = next(choice for choice in SETTINGS[name].choices if choice != value)
    elif name == "prefixes":
        value = ("c",)
    elif name == "carry_state":
        return replace(BEFORE, sampling="random", carry_state=True)
    elif value is None:
        value = 7
    else:
        value = value / 2 + 0.25 if isinstance(value, float) else value + 1
    return replace(BEFORE, **{name: value})


def recorded(options: TrainingOptions) -> dict[str, Any]:
    return dict(json.loads(json.dumps(asdict(options))))


@pytest.mark.parametrize("name", [field.name for field in fields(TrainingOptions)])
def test_every_option_that_could_change_the_result_is_refused_by_name_with_both_values(name: str) -> None:
    now = asdict(another(name))
    if name in FREE:
        assert changes(recorded(BEFORE), now) == []
    elif name in LENGTH:
        assert changes(recorded(BEFORE), now) == [name]
    else:
        with pytest.raises(CheckpointError) as error:
            changes(recorded(BEFORE), now)
        shown = ["off" if value is None else str(value) for value in (asdict(BEFORE)[name], now[name])]
        assert f"{name} was {shown[0]}, now {shown[1]}" in str(error.value)
        if name in FIXED:
            with pytest.raises(CheckpointError, match="no run can go on with that"):
                changes(recorded(BEFORE), now, override=True)
        else:
            assert name in changes(recorded(BEFORE), now, override=True)


def test_what_is_the_same_is_no_change() -> None:
    assert changes(recorded(BEFORE), asdict(BEFORE)) == []


def test_all_that_differ_are_named_at_once_and_held_out_text_can_never_be_trained_on() -> None:
    now = asdict(replace(BEFORE, seed=1, learning_rate=0.5, validation_fraction=0.1, epochs=3))
    with pytest.raises(CheckpointError) as error:
        changes(recorded(BEFORE), now)
    assert "validation_fraction was 0.0, now 0.1 (no run can go on with that)" in str(error.value)
    assert "learning_rate was 0.2, now 0.5, seed was 0, now 1 (--override goes on nevertheless)" in str(error.value)
    with pytest.raises(
        CheckpointError, match=r"settings: validation_fraction was 0\.0, now 0\.1 \(no run [^;]*; --overw"
    ):
        changes(recorded(BEFORE), now, override=True)


def test_a_run_of_before_an_option_was_there_goes_on_where_it_is_as_by_default() -> None:
    before = recorded(BEFORE)
    del before["steps"], before["seed"]
    assert changes(before, asdict(BEFORE)) == []
    with pytest.raises(CheckpointError, match="seed was 0, now 1"):
        changes(before, asdict(replace(BEFORE, seed=1)))


def corpus(text: str = "some words", source: Source = Source(("my.txt",)), **rules: Any) -> EncodedCorpus:  # noqa: B008
    rules = {"lowercase": False, "newlines": "keep", **rules}
    name = " ".join(source.corpora)
    digest = hashlib.sha256(text.encode()).hexdigest()
    return replace(encode(Corpus(name, text, digest), TextRules(**rules)), source=source)


def facts(of: EncodedCorpus) -> dict[str, Any]:
    return dict(json.loads(json.dumps(text_facts(of))))


@pytest.mark.parametrize(
    ("now", "told"),
    [
        (corpus("some worl"), "the text has 9 characters, it had 10"),
        (corpus("some wordz"), "the text has 9 distinct characters, it had 8"),
        (corpus("words some"), "as many characters, but not the same ones"),
        (corpus("x", Source(("a.txt", "lyrics"))), f"--corpus was {HERE}/my.txt, now {HERE}/a.txt, lyrics"),
        (
            corpus("x", Source(("my.txt",), "gb18030", "replace")),
            "--encoding was utf-8, now gb18030; --errors was strict, now replace",
        ),
        (
            corpus("x", Source(("my.txt",), max_chars=5, join="document")),
            "--join was line, now document; --max-chars was off, now 5",
        ),
        (corpus("x", lowercase=True), "lower-casing was False, now True"),
    ],
)
def test_another_text_is_told_by_what_differs_and_never_by_its_digest(now: EncodedCorpus, told: str) -> None:
    check_text(facts(corpus()), corpus())
    with pytest.raises(CheckpointError) as error:
        check_text(facts(corpus()), now)
    assert "is not the text that the run to resume read: " in str(error.value)
    assert told in str(error.value)
    assert now.sha256[:8] not in str(error.value)


def test_a_text_that_is_named_otherwise_and_is_the_same_is_the_same() -> None:
    check_text(facts(corpus()), corpus(source=Source(("elsewhere.txt",), "utf-16")))


def test_what_a_run_read_is_found_from_everywhere() -> None:
    source = Source(("my.txt", "lyrics", "-"), "gb18030", "replace", "document", 99)
    there = source_of(facts(corpus(source=source)))
    assert there == replace(source, corpora=(str(Path("my.txt").resolve()), "lyrics", "-"))


def test_a_run_of_an_earlier_version_does_not_say_what_it_read() -> None:
    before = {"corpus": "0" * 64, "rules": {}}
    assert source_of(before) is None
    with pytest.raises(CheckpointError, match="is of a version that does not record which; give the --corpus"):
        check_text(before, corpus())
    with pytest.raises(CheckpointError, match="is of another version of this program"):
        source_of({"source": {"corpora": ["a"], "from": "later"}})
