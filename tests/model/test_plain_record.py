from __future__ import annotations

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.plain_record import MAX_DEPTH, read_record, worded

# Few draws to a record: on a busy machine the data must not take longer than the test.
WORDS = st.text('a"\\/\n\x00\x7fé分\u2028😀', max_size=4)
LEAVES = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | WORDS
PLAIN = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=2) | st.dictionaries(WORDS, inner, max_size=2), max_leaves=5
)


@given(st.dictionaries(WORDS, PLAIN, max_size=3))
def test_a_plain_record_stays_as_it_was(record: dict[str, object]) -> None:
    assert read_record(json.dumps(record)) == record


def test_figures_that_are_not_finite_become_none() -> None:
    text = '{"perplexity": NaN, "history": [{"loss": Infinity}, {"loss": -Infinity}, 1e999, -1e999, 1.5, 2]}'
    assert read_record(text) == {"perplexity": None, "history": [{"loss": None}, {"loss": None}, None, None, 1.5, 2]}


@pytest.mark.parametrize("opening", ["[", '{"a":'])
def test_only_so_many_levels_are_read(opening: str) -> None:
    closing = {"[": "]"}.get(opening, "}")

    def nested(levels: int) -> str:
        return '{"x":' + opening * (levels - 1) + "1" + closing * (levels - 1) + "}"

    read_record(nested(MAX_DEPTH))
    for levels in (MAX_DEPTH + 1, 500, 900):
        with pytest.raises(ValueError, match=f"deeper than {MAX_DEPTH}"):
            read_record(nested(levels))
    with pytest.raises((ValueError, RecursionError)):
        read_record(nested(200_000))


@pytest.mark.parametrize(
    "text", ["", "[]", "null", '"a"', "NaN", '{"a":"\\ud800"}', '{"\\udfff":1}', '{"a":' + "9" * 5000]
)
def test_what_no_training_wrote_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"not an object|surrogate|Expecting|digits"):
        read_record(text)


def test_figures_that_are_not_finite_are_written_as_words() -> None:
    record = {"a": math.inf, "b": [-math.inf, (math.nan, 1.5)], "c": {"d": "inf", "e": None, "f": True, "g": 3}}
    text = json.dumps(worded(record), allow_nan=False)
    assert text == '{"a": "inf", "b": ["-inf", ["nan", 1.5]], "c": {"d": "inf", "e": null, "f": true, "g": 3}}'
    assert read_record(text)["b"] == ["-inf", ["nan", 1.5]]
