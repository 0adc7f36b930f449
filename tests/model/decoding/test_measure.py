from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model.decoding.measure import empty, joined, measure, measure_rows, part_of
from tests.measured import same_measures


def test_measure_agrees_with_the_definitions() -> None:
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 3, (20, 50)).astype(np.float32)
    logits[3] = np.round(logits[3])
    characters = rng.integers(0, 50, 20)
    found = measure(logits, characters, 7)
    exact = logits.astype(np.float64)
    logprobs = exact - np.log(np.exp(exact).sum(axis=1, keepdims=True))
    order = np.argsort(-exact, axis=1, kind="stable")
    assert np.allclose(found.logprobs, logprobs[np.arange(20), characters], rtol=0, atol=1e-6)
    assert np.array_equal(found.ranks, np.argmax(order == characters[:, None], axis=1))
    assert np.allclose(found.entropies, -(np.exp(logprobs) * logprobs).sum(axis=1), rtol=0, atol=1e-6)
    assert np.array_equal(found.alternatives, order[:, :7])
    assert np.allclose(found.alternative_logprobs, np.take_along_axis(logprobs, order[:, :7], 1), rtol=0, atol=1e-6)
    assert measure(logits[:, :3], np.zeros(20, np.int64), 7).alternatives.shape == (20, 3)
    assert measure(logits, characters).alternatives.shape == (20, 0)
    assert [array.dtype for array in found] == [np.float64, np.int32, np.float64, np.int32, np.float64]


@settings(max_examples=30)
@given(st.lists(st.sampled_from([-2.0, -1.0, 0.0, 0.5, 3.0]), min_size=1, max_size=9), st.integers(0, 8), st.data())
def test_ties_and_short_vocabularies_are_ranked_by_index(row: list[float], wanted: int, data: st.DataObject) -> None:
    character = data.draw(st.integers(0, len(row) - 1))
    found = measure(np.array([row], np.float32), np.array([character]), wanted)
    order = sorted(range(len(row)), key=lambda v: (-row[v], v))
    whole = math.log(math.fsum(math.exp(value) for value in row))
    assert found.ranks.tolist() == [order.index(character)]
    assert found.alternatives.tolist() == [order[:wanted]]
    assert found.alternative_logprobs[0] == pytest.approx([row[v] - whole for v in order[:wanted]], abs=1e-6)
    entropy = -math.fsum(math.exp(value - whole) * (value - whole) for value in row)
    assert found.entropies[0] == pytest.approx(entropy, abs=1e-6)


def test_only_the_rows_asked_for_and_only_once_they_begin_are_measured() -> None:
    logits = np.random.default_rng(1).normal(0, 2, (5, 7)).astype(np.float32)
    measured = empty((3,), 2)
    measured.logprobs[:] = 9.0
    rows, begins, characters = np.array([4, 0, 2]), np.array([3, 4, 2]), np.array([1, 2, 3])
    assert measure_rows(logits, rows, 3, begins, characters, measured)
    expected = measure(logits[rows], characters, 2)
    assert measured.logprobs.tolist() == [expected.logprobs[0], 9.0, expected.logprobs[2]]


@pytest.mark.parametrize("nonsense", [np.nan, np.inf, -np.inf])
def test_logits_that_are_not_finite_are_noticed_where_they_are_looked_at(nonsense: float) -> None:
    logits = np.zeros((2, 5), np.float32)
    logits[1, 3] = nonsense
    for row, finite in ((0, True), (1, False)):
        found = empty((1,), 0)
        assert measure_rows(logits, np.array([row]), 0, np.zeros(1, np.int64), np.array([1]), found) == finite


def test_parts_are_arrays_of_their_own_and_join_again() -> None:
    whole = measure(np.random.default_rng(2).normal(0, 2, (9, 6)).astype(np.float32), np.arange(9) % 6, 3)
    parts = [part_of(whole, 0, 4), part_of(whole, 4, 4), part_of(whole, 4, 9)]
    assert all(values.base is None for part in parts for values in part)
    assert same_measures(joined(parts), whole)
