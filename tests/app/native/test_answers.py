"""From results to bodies."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from app.native import tokens as state_token
from app.native.answers import answer, logprobs
from app.scheduling.requests import GenerateRequest, Result, Written
from app.serving.question import Question
from app.wire.long_json import pieces
from model.decoding.measure import Measured
from tests.app.without_engine import Model, continuation

MODEL = Model()


def body(choices: tuple[Written, ...], decode_ms: float = 500.0, **more: Any) -> dict[str, Any]:
    found = Question(MODEL.served, GenerateRequest(np.zeros(0, np.int64), 3), "ab", **more)
    result = Result(choices, 1.23456, decode_ms, 1234)
    told: dict[str, Any] = json.loads(b"".join(pieces(answer(found, result, b"secret"))))
    return told


def test_an_answer_tells_the_text_where_it_comes_from_and_how_long_it_took() -> None:
    told = body((Written(0, "xyz", "stop", 6, None, None),), 501.23456)
    assert told == {
        "text": "abxyz",
        "generated": "xyz",
        "finish_reason": "stop",
        "seed": 6,
        "prefix": "ab",
        "model": "tiny",
        "timing": {"queue_ms": 1.235, "decode_ms": 501.235, "chars_per_second": round(1234 / 0.50123456, 1)},
    }
    assert body((Written(0, "", "stop", None, None, None),), 0.0)["timing"]["chars_per_second"] == 0
    assert body((Written(0, "", "stop", None, None, None),), 0.5)["timing"]["chars_per_second"] == 2_468_000


def test_several_choices_are_all_told_and_the_first_stands_above_too() -> None:
    told = body(tuple(Written(i, "xyz"[i:], "length", 6 + i, None, None) for i in range(2)), unmatchable_stops=("本",))
    assert [(c["text"], c["seed"]) for c in told["choices"]] == [("abxyz", 6), ("abyz", 7)]
    assert {**told, **told["choices"][0]} == told
    assert told["unmatchable_stops"] == ["本"]


@pytest.mark.parametrize("alternatives", [0, 2])
def test_each_character_has_its_figure_and_its_rivals(alternatives: int) -> None:
    tops, values = np.array([[4, 3], [2, 1], [0, 5]])[:, :alternatives], -np.arange(6.0).reshape(3, 2)[:, :alternatives]
    measured = Measured(np.array([-0.5, -1.5, -2.5]), np.zeros(3, np.int32), np.ones(3), tops.astype(np.int32), values)
    letters = MODEL.vocabulary.characters
    expected = [
        {
            "character": character,
            "logprob": logprob,
            "alternatives": [{"character": letters[i], "logprob": value} for i, value in zip(row, own, strict=True)],
        }
        for character, logprob, row, own in zip("xyz", [-0.5, -1.5, -2.5], tops.tolist(), values.tolist(), strict=True)
    ]
    assert body((Written(0, "xyz", "length", 6, measured, None),))["logprobs"] == expected
    long = logprobs(letters, "xyz", measured)
    assert (long.length, long.values_each) == (3, 1 + alternatives)
    assert long.part(1, 3) == expected[1:]


def test_the_token_of_each_choice_is_signed_with_its_own_seed() -> None:
    told = body(tuple(Written(i, "xyz", "length", seed, None, continuation()) for i, seed in enumerate((6, 7, None))))
    for choice, seed in zip(told["choices"], (6, 7, None), strict=True):
        checkpoint = MODEL.checkpoint
        read, read_seed = state_token.read(choice["state"], b"secret", checkpoint.config, checkpoint.digest)
        assert (read_seed, read.position, read.pending) == (seed, 41, 3)
