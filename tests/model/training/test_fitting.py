from __future__ import annotations

from typing import Any

import pytest

from model.errors import CorpusError
from model.text.batches import check_length, num_batches
from model.training.fitting import FEW_BATCHES, fitted, words

SAMPLINGS = ("random", "consecutive")


def shape(rows: int, steps: int, sampling: str = "consecutive") -> dict[str, Any]:
    return {"batch_size": rows, "num_steps": steps, "sampling": sampling}


@pytest.mark.parametrize("sampling", SAMPLINGS)
@pytest.mark.parametrize(("rows", "steps"), [(32, 35), (16, 64), (8, 64), (1, 4096)])
def test_every_text_from_80_characters_on_fills_a_batch(rows: int, steps: int, sampling: str) -> None:
    for length in range(80, 3000):
        fits = fitted(shape(rows, steps, sampling), {}, length)
        assert num_batches(length, fits["batch_size"], fits["num_steps"], sampling) > 0, length
        assert fits["batch_size"] <= rows
        assert fits["num_steps"] <= steps


def test_what_is_fitted_is_told_in_one_line() -> None:
    before = shape(32, 35)
    after = fitted(before, {}, 162)
    assert words(180, 162, before, after) == "batch 4 × 16 steps, so that 180 characters fill one"
    assert words(5000, 5000, before, fitted(before, {}, 5000)) is None


@pytest.mark.parametrize("sampling", SAMPLINGS)
def test_what_is_given_stays_and_the_other_is_fitted_to_it(sampling: str) -> None:
    fits = fitted(shape(32, 35, sampling), {"batch_size": 32}, 180)
    assert fits["batch_size"] == 32
    assert num_batches(180, 32, fits["num_steps"], sampling) > 0
    fits = fitted(shape(32, 35, sampling), {"num_steps": 35}, 180)
    assert fits["num_steps"] == 35
    assert num_batches(180, fits["batch_size"], 35, sampling) > 0


@pytest.mark.parametrize("given", [{"batch_size": 32, "num_steps": 35}, {"batch_size": 5000}, {"num_steps": 400}])
def test_what_is_given_and_does_not_fit_is_left_to_be_refused(given: dict[str, int]) -> None:
    fits = fitted({**shape(32, 35), **given}, given, 180)
    assert fits.items() >= given.items()
    with pytest.raises(CorpusError, match="would fit"):
        check_length(180, fits["batch_size"], fits["num_steps"], "consecutive")


def test_a_shorter_text_is_left_as_it_is() -> None:
    assert fitted(shape(32, 35), {}, 79) == shape(32, 35)


def test_few_consecutive_batches_leave_out_next_to_nothing() -> None:
    for length in range(520, 8 * 64 * FEW_BATCHES):  # from one batch of 8 rows of 64 on
        before = shape(8, 64)
        fits = fitted(before, {}, length, even=True)
        batches = num_batches(length, 8, fits["num_steps"], "consecutive")
        if num_batches(length, 8, 64, "consecutive") < FEW_BATCHES:
            assert batches * fits["num_steps"] > length // 8 - 1 - batches
        assert words(length, length, before, fits) is None
    assert fitted(shape(8, 64), {"num_steps": 64}, 1000, even=True) == shape(8, 64)
    assert fitted(shape(8, 64, "random"), {}, 1000, even=True) == shape(8, 64, "random")
    assert fitted(shape(8, 64), {}, 100_000, even=True) == shape(8, 64)
    assert fitted(shape(8, 64), {}, 1000) == shape(8, 64)
