from __future__ import annotations

import itertools
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.arrays import Unsigneds
from model.errors import CorpusError
from model.text.batches import check_length, data_iter_consecutive, data_iter_random, num_batches

Batch = tuple[list[list[int]], list[list[int]]]

RANGE = np.arange(30, dtype=np.uint32)
SAMPLINGS = ["random", "consecutive"]
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
    batches = list(data_iter_random(np.arange(length, dtype=np.uint32), N, T, np.random.default_rng(seed)))
    starts = [int(x) for X, _ in batches for x in X[:, 0]]
    examples = (length - 1) // T
    assert len(starts) == len(set(starts)) == examples // N * N == N * num_batches(length, N, T, "random")
    assert set(starts) <= {i * T for i in range(examples)}
    assert all(X.shape == Y.shape == (N, T) and (Y == X + 1).all() for X, Y in batches)


@given(sizes)
def test_consecutive_batches_adjoin_and_labels_are_one_step_on(size: tuple[int, int, int]) -> None:
    length, N, T = size
    batches = list(data_iter_consecutive(np.arange(length, dtype=np.uint32), N, T))
    assert len(batches) == max(0, num_batches(length, N, T, "consecutive"))
    for (X, Y), (following, _) in itertools.pairwise(batches):
        assert (X[:, -1] + 1 == following[:, 0]).all()
        assert (Y[:, -1] == following[:, 0]).all()
    assert all(X.shape == (N, T) and (Y == X + 1).all() for X, Y in batches)


def test_the_order_of_random_sampling_depends_on_the_generator_alone() -> None:
    def order(seed: int) -> list[list[int]]:
        return [
            X[:, 0].tolist()
            for X, _ in data_iter_random(np.arange(500, dtype=np.uint32), 4, 5, np.random.default_rng(seed))
        ]

    assert order(1) == order(1)
    assert order(1) != order(2)


def batches(text: Unsigneds, N: int, T: int, sampling: str) -> list[Batch]:
    found = (
        data_iter_random(text, N, T, np.random.default_rng(0))
        if sampling == "random"
        else data_iter_consecutive(text, N, T)
    )
    return [(X.tolist(), Y.tolist()) for X, Y in found]


@given(sizes)
def test_consecutive_rows_are_the_text_in_equal_parts(size: tuple[int, int, int]) -> None:
    length, N, T = size
    text = np.random.default_rng(length).integers(0, 9, length, np.uint32)
    part = length // N
    rows = [text.tolist()[n * part : (n + 1) * part] for n in range(N)]
    starts = [t for t in range(0, part, T) if t + T < part]  # the last label of a stretch is there too
    expected = [([row[t : t + T] for row in rows], [row[t + 1 : t + T + 1] for row in rows]) for t in starts]
    assert batches(text, N, T, "consecutive") == expected


@given(sizes)
def test_random_examples_are_the_stretches_of_the_text(size: tuple[int, int, int]) -> None:
    length, N, T = size
    text = np.random.default_rng(length).permutation(length).astype(np.uint32)
    whole = text.tolist()
    stretches = {(*whole[t : t + T], *whole[t + 1 : t + T + 1]) for t in range(0, length - T, T)}
    seen = [(*x, *y) for X, Y in batches(text, N, T, "random") for x, y in zip(X, Y, strict=True)]
    assert len(seen) == len(set(seen)) == len(stretches) // N * N
    assert set(seen) <= stretches


@given(st.integers(0, 60), st.integers(1, 9), st.integers(1, 12), st.sampled_from(SAMPLINGS))
def test_batches_are_counted_without_cutting_them(length: int, N: int, T: int, sampling: str) -> None:
    count = num_batches(length, N, T, sampling)
    assert isinstance(count, int)
    assert max(0, count) == len(batches(np.zeros(length, np.uint32), N, T, sampling))


@given(st.integers(0, 60), st.integers(1, 9), st.integers(1, 12), st.sampled_from(SAMPLINGS))
def test_a_text_too_short_is_told_what_it_needs_and_settings_that_do_fit(
    length: int, N: int, T: int, sampling: str
) -> None:
    def fits(length: int, N: int, T: int) -> bool:
        return bool(batches(np.zeros(length, np.uint32), N, T, sampling))

    if fits(length, N, T):
        check_length(length, N, T, sampling)
        return
    with pytest.raises(CorpusError) as caught:
        check_length(length, N, T, sampling)
    given_length, given_N, given_T, needed, *settings = map(int, re.findall(r"\d+", str(caught.value)))
    assert (given_length, given_N, given_T) == (length, N, T)
    assert fits(needed, N, T)
    assert not fits(needed - 1, N, T)
    if length < 2:
        assert settings == [2]  # fits none
        return
    less_N, less_T = settings
    assert less_T == min(T, max(1, (length - 1) // 2))  # two stretches, where it can be
    assert fits(length, less_N, less_T)
    assert less_N == N or not fits(length, less_N + 1, less_T)
