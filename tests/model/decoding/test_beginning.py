from __future__ import annotations

import numpy as np
import pytest

from model.decoding.beginning import choose_first
from model.decoding.measure import measure
from model.decoding.row import ALL, Row
from model.sampling.plain import choose_reference
from model.sampling.random_stream import uniform
from tests.measured import same_measures


def row(num_chars: int = 5, **options: float | None) -> Row:
    return Row(np.zeros(0, np.int64), num_chars, **options)  # type: ignore[arg-type]


def test_a_first_character_is_chosen_as_the_options_say() -> None:
    rng = np.random.default_rng(3)
    for _ in range(200):
        size = int(rng.integers(1, 40))
        logits = rng.normal(0, 3, size).astype(np.float32)
        temperature, top_p, seed = rng.choice([0.0, 0.3, 1.0, 5.0]), rng.choice([1.0, 0.7]), int(rng.integers(2**62))
        top_k = int(rng.choice([ALL, 1, 3]))
        begun = row(temperature=temperature, top_k=top_k, top_p=top_p, seed=seed)
        choose_first(begun, logits)
        expected = choose_reference(logits, temperature, top_k, top_p, uniform(seed, 0))
        assert begun.forced.tolist() == begun.text_indices().tolist() == [expected]
        assert (begun.num_chars, begun.position, begun.measured) == (4, 1, [])


@pytest.mark.parametrize("alternatives", [0, 2, 9])
def test_it_is_measured_by_the_logits_that_it_is_chosen_from(alternatives: int) -> None:
    logits = np.log(np.array([1, 4, 3], np.float32))
    begun = row(logprobs=alternatives)
    choose_first(begun, logits)
    (measured,) = begun.measured
    assert same_measures(measured, measure(logits[None], np.array([1]), alternatives))
    assert measured.logprobs.tolist() == [pytest.approx(np.log(0.5))]
    assert measured.alternatives.tolist() == [[1, 2, 0][:alternatives]]


def test_a_row_of_one_character_has_written_it_and_takes_no_step() -> None:
    begun = row(1)
    choose_first(begun, np.array([0, 2, 2], np.float32))
    assert (begun.steps, begun.num_chars, begun.text_indices().tolist()) == (0, 0, [1])
    assert Row(np.array([1, 2]), 3).steps == 4


def test_the_position_of_the_first_character_in_the_random_stream_is_the_rows() -> None:
    logits = np.zeros(50, np.float32)
    for position in (0, 7, 2**40):
        begun = row(temperature=1.0, seed=9, position=position)
        choose_first(begun, logits)
        assert begun.forced.tolist() == [choose_reference(logits, 1.0, ALL, 1.0, uniform(9, position))]
        assert begun.position == position + 1


def test_logits_that_are_not_finite_are_no_characters() -> None:
    with pytest.raises(FloatingPointError, match="the logits of the first character are not finite"):
        choose_first(row(), np.array([0, np.nan], np.float32))
