from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from model import checkpoint as checkpoints
from model.plain_record import read_record
from model.text.beginning import MAX_FIRST_CHARACTERS, NEVER, beginning, starts_record
from model.text.source import DOCUMENT_END, Reading
from model.text.vocabulary import Vocabulary
from tests.models import random_checkpoint

STARTS = {"first_characters": {"b": 3, "a": 1}}


def begun(characters: str, **record: Any) -> tuple[str, list[float] | None]:
    vocabulary = Vocabulary.from_text(characters)
    found = beginning(record, vocabulary, np.arange(len(vocabulary), dtype=np.float32))
    return found.read, None if found.first is None else found.first.tolist()


def logits(*counts: int) -> list[float]:
    return np.array([math.log(count) if count else NEVER for count in counts], np.float32).tolist()  # type: ignore[no-any-return]


def test_a_text_begins_behind_a_document_where_the_model_knows_their_ends() -> None:
    ends = {"document_end": DOCUMENT_END}
    assert begun(f"ab\n {DOCUMENT_END}", corpus=ends, starts=STARTS) == (DOCUMENT_END, None)
    assert begun("ab\n ", corpus=ends, starts=STARTS) == ("\n", None)
    assert begun(f"ab\n {DOCUMENT_END}", corpus={"document_end": None}) == ("\n", None)
    assert begun(f"ab\n {DOCUMENT_END}") == ("\n", None)


def test_else_behind_a_line_end() -> None:
    assert begun("ab\n ", starts=STARTS) == ("\n", None)
    assert begun("ab\n ") == ("\n", None)


def test_else_with_a_character_as_lines_begin() -> None:
    assert begun("abc ", starts=STARTS) == ("", logits(0, 1, 3, 0))


def test_the_end_of_the_only_document_says_nothing() -> None:
    ends = {"document_end": DOCUMENT_END}
    for documents, read in ((1, "\n"), (2, DOCUMENT_END), ("1", DOCUMENT_END), (None, DOCUMENT_END)):
        assert begun(f"ab\n{DOCUMENT_END}", corpus=ends, starts={"documents": documents}) == (read, None)


def test_a_line_end_that_nothing_follows_says_nothing() -> None:
    assert begun("ab\n ", starts={"first_characters": {"b": 1}}) == ("", logits(0, 0, 0, 1))


def test_of_a_record_without_lines_behind_a_space() -> None:
    assert begun("ab ") == (" ", None)
    assert begun("ab ", starts={}) == (" ", None)


def test_else_with_what_the_model_expects_before_it_has_read_anything() -> None:
    assert begun("ab") == ("", [0.0, 1.0])


@pytest.mark.parametrize(
    "found",
    [
        None,
        7,
        "b",
        ["b"],
        [["b", 3]],
        {},
        {"x": 3},
        {"": 3, "bb": 3},
        {"b": 0},
        {"b": -3},
        {"b": True},
        {"b": "3"},
        {"b": 3.0},
        {"b": None},
        {"b": [3]},
        {"b": {"c": {}}},
    ],
)
@pytest.mark.parametrize("inner", [True, False])
def test_a_record_that_says_something_else_is_as_good_as_none(found: Any, inner: bool) -> None:
    assert begun("ab ", starts={"first_characters": found} if inner else found) == (" ", None)


@pytest.mark.parametrize(
    "corpus", [None, "lyrics", [], {"document_end": 3}, {"document_end": ""}, {"document_end": []}]
)
def test_a_record_that_names_no_end_of_documents_is_as_good_as_none(corpus: Any) -> None:
    assert begun("ab ", corpus=corpus, starts=STARTS) == ("", logits(0, 1, 3))


def test_what_does_not_fit_is_left_out_and_the_rest_counts() -> None:
    assert begun("ab ", starts={"first_characters": {"b": 3, "x": 9, "a": -1}}) == ("", logits(0, 0, 3))


def test_a_count_beyond_all_numbers_is_one_that_is_large() -> None:
    _, first = begun("ab", starts={"first_characters": {"a": 10**4000, "b": 2}})
    assert first is not None
    assert first == [pytest.approx(4000 * math.log(10)), pytest.approx(math.log(2))]


def test_a_record_that_no_number_can_hold_is_read_without_it() -> None:
    record = read_record('{"starts": {"first_characters": {"a": -1e999, "b": 2, "c": 1e999, "d": NaN}}}')
    assert begun("abcd", **record) == ("", logits(0, 2, 0, 0))


def test_the_commonest_are_recorded_and_survive_a_file() -> None:
    counts = {chr(0x4E00 + place): place + 1 for place in range(MAX_FIRST_CHARACTERS + 5)}
    kept = starts_record(Reading(("a", "b"), line_starts=counts))
    assert len(kept["first_characters"]) == MAX_FIRST_CHARACTERS
    assert min(kept["first_characters"].values()) == 6
    assert kept["documents"] == 2
    assert starts_record(Reading()) == {"documents": 0, "first_characters": {}}
    assert read_record(json.dumps(kept)) == kept


def test_the_logits_are_the_models_own_copy() -> None:
    bias = np.zeros(2, np.float32)
    bias.flags.writeable = False
    found = beginning({}, Vocabulary("ab"), bias)
    assert found.first is not None
    assert found.first.flags.writeable  # as compiled functions were compiled for
    assert not np.shares_memory(found.first, bias)


def test_a_checkpoint_keeps_what_is_recorded(tmp_path: Path) -> None:
    checkpoints.save(tmp_path, replace(random_checkpoint(), training={"starts": STARTS}))
    assert checkpoints.load(tmp_path).training["starts"] == STARTS
