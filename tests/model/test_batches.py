from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.batches import check_length, data_iter_consecutive, data_iter_random, num_batches
from model.errors import CorpusError

RANGE = np.arange(30, dtype=np.int32)
sizes = st.tuples(st.integers(2, 400), st.integers(1, 9), st.integers(1, 12))


def test_random_sampling_of_the_chapters_example_gives_two_batches_of_two_stretches() -> None:
    batches = list(data_iter_random(RANGE, batch_size=2, num_steps=6, rng=np.random.default_rng(0)))
    assert [X.shape for X, _ in batches] == [(2, 6), (2, 6)]
    starts = sorted(X[n, 0] for X, _ in batches for n in range(2))
    assert starts == [0, 6, 12, 18]
    for X, Y in batches:
        assert (np.diff(X, axis=1) == 1).all()
        assert (Y == X + 1).all()


def test_consecutive_sampling_of_the_chapters_example_is_as_printed_there() -> None:
    batches = list(data_iter_consecutive(RANGE, batch_size=2, num_steps=6))
    assert [X.tolist() for X, _ in batches] == [
        [[0, 1, 2, 3, 4, 5], [15, 16, 17, 18, 19, 20]],
        [[6, 7, 8, 9, 10, 11], [21, 22, 23, 24, 25, 26]],
    ]
    assert [Y.tolist() for _, Y in batches] == [
        [[1, 2, 3, 4, 5, 6], [16, 17, 18, 19, 20, 21]],
        [[7, 8, 9, 10, 11, 12], [22, 23, 24, 25, 26, 27]],
    ]


@given(sizes, st.integers(0, 9))
def test_random_sampling_sees_every_example_once_but_for_the_last_that_fill_no_batch(
    size: tuple[int, int, int], seed: int
) -> None:
    length, N, T = size
    batches = list(data_iter_random(np.arange(length, dtype=np.int32), N, T, np.random.default_rng(seed)))
    starts = [int(x) for X, _ in batches for x in X[:, 0]]
    examples = (length - 1) // T
    assert len(starts) == len(set(starts)) == examples // N * N == N * num_batches(length, N, T, "random")
    assert set(starts) <= {i * T for i in range(examples)}
    assert all(X.shape == Y.shape == (N, T) and (Y == X + 1).all() for X, Y in batches)


@given(sizes)
def test_consecutive_batches_adjoin_and_labels_are_one_step_on(size: tuple[int, int, int]) -> None:
    length, N, T = size
    batches = list(data_iter_consecutive(np.arange(length, dtype=np.int32), N, T))
    assert len(batches) == max(0, num_batches(length, N, T, "consecutive"))
    for (X, Y), (following, _) in itertools.pairwise(batches):
        assert (X[:, -1] + 1 == following[:, 0]).all()
        assert (Y[:, -1] == following[:, 0]).all()
    assert all(X.shape == (N, T) and (Y == X + 1).all() for X, Y in batches)


def test_the_order_of_random_sampling_depends_on_the_generator_alone() -> None:
    def order(seed: int) -> list[list[int]]:
        return [X[:, 0].tolist() for X, _ in data_iter_random(np.arange(500), 4, 5, np.random.default_rng(seed))]

    assert order(1) == order(1)
    assert order(1) != order(2)


@given(sizes, st.sampled_from(["random", "consecutive"]))
def test_a_text_too_short_is_told_settings_that_do_fit(size: tuple[int, int, int], sampling: str) -> None:
    length, N, T = size
    if num_batches(length, N, T, sampling) > 0:
        check_length(length, N, T, sampling)
        return
    with pytest.raises(CorpusError) as caught:
        check_length(length, N, T, sampling)
    words = str(caught.value).split("; batch_size ")[-1].split()
    check_length(length, int(words[0]), int(words[3]), sampling)
