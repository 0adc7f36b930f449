from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from model.arrays import Float32s, Float32s2D, Int64s
from model.decoding.row import ALL
from model.errors import OptionError
from model.sampling.options import Sampling
from model.sampling.plain import choose_reference
from model.sampling.random_stream import uniform
from model.sampling.rows import choose


def choose_one(logits: Float32s, temperature: float, top_k: int, top_p: float, seed: int, position: int = 0) -> int:
    return int(choose_all(logits[None], [temperature], [top_k], [top_p], [seed], [position])[0])


def choose_all(logits: Float32s2D, *options: list[float]) -> Int64s:
    temperature, top_k, top_p, seed, position = options
    chosen = np.full(len(logits), -7)
    finite = choose(
        np.ascontiguousarray(logits, np.float32),
        0,
        np.zeros(len(logits), np.int64),
        np.array(temperature, np.float64),
        np.array(top_k, np.int64),
        np.array(top_p, np.float64),
        np.array(seed, np.int64),
        np.array(position, np.int64),
        chosen,
    )
    assert finite
    return chosen


@settings(max_examples=150)
@given(data=st.data())
def test_rows_are_chosen_as_the_reference_says(data: st.DataObject) -> None:
    rows = data.draw(st.integers(1, 6))
    size = data.draw(st.sampled_from([1, 2, 7, 65, 255, 256, 257, 700, 1465]))
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    logits = rng.normal(0, data.draw(st.sampled_from([0.1, 2, 30])), (rows, size)).astype(np.float32)
    if data.draw(st.booleans()):
        logits = np.round(logits)  # many equal ones
    options = [
        rng.choice([0, 0.01, 0.5, 1, 5], rows).tolist(),
        rng.choice([1, 2, 40, 127, 128, 129, 500, ALL], rows).tolist(),
        rng.choice([1e-6, 0.1, 0.5, 0.9, 0.999, 1], rows).tolist(),
        rng.integers(0, 2**63 - 1, rows).tolist(),
        rng.integers(0, 10_000, rows).tolist(),
    ]
    expected = [
        choose_reference(row, t, k, p, uniform(seed, position))
        for row, t, k, p, seed, position in zip(logits, *options, strict=True)
    ]
    assert choose_all(logits, *options).tolist() == expected


def test_draws_follow_the_softmax() -> None:
    logits = np.log(np.array([0.5, 0.25, 0.15, 0.1], np.float32))
    draws = [choose_one(logits, 1.0, ALL, 1.0, 3, position) for position in range(20_000)]
    assert np.allclose(np.bincount(draws, minlength=4) / 20_000, [0.5, 0.25, 0.15, 0.1], atol=0.015)


def test_temperature_sharpens() -> None:
    logits = np.log(np.array([0.6, 0.4], np.float32))
    draws = [choose_one(logits, 0.5, ALL, 1.0, 3, position) for position in range(20_000)]
    assert np.mean(draws) == pytest.approx(0.16 / 0.52, abs=0.015)


def test_top_k_and_top_p_leave_out_the_unlikely() -> None:
    logits = np.log(np.array([0.1, 0.4, 0.2, 0.3], np.float32))
    seeds = range(300)
    assert {choose_one(logits, 1.0, 2, 1.0, seed) for seed in seeds} == {1, 3}
    assert {choose_one(logits, 1.0, ALL, 0.69, seed) for seed in seeds} == {1, 3}
    assert {choose_one(logits, 1.0, ALL, 0.71, seed) for seed in seeds} == {1, 2, 3}
    assert {choose_one(logits, 1.0, 3, 0.4, seed) for seed in seeds} == {1}  # 0.4 of the 0.9 that are left is enough


def test_one_candidate_is_greedy_whatever_the_temperature() -> None:
    logits = np.random.default_rng(0).normal(0, 1, 300).astype(np.float32)
    assert {choose_one(logits, 5.0, 1, 1.0, seed) for seed in range(50)} == {int(logits.argmax())}


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_logits_that_are_not_finite_are_noticed(bad: float) -> None:
    logits = np.zeros((1, 300), np.float32)
    logits[0, 299] = bad
    one, whole = np.ones(1), np.ones(1, np.int64)
    assert not choose(logits, 0, whole - 1, one, 40 * whole, one, whole, whole, whole.copy())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"temperature": -1}, r"temperature: -1 is neither 0 \(greedy\) nor a number from 0.01 to 5"),
        ({"temperature": 1e-320}, "temperature"),
        ({"temperature": math.nan}, "temperature: nan"),
        ({"temperature": math.inf}, "temperature: inf"),
        ({"temperature": True}, "temperature: True"),
        ({"temperature": "1"}, "temperature: '1'"),
        ({"temperature": 0.0099}, "temperature: 0.0099"),
        ({"temperature": 5.01}, "temperature: 5.01"),
        ({"top_k": 0}, "top_k: 0 is not a whole number from 1 to 1114112$"),
        ({"top_k": 1114113}, "top_k: 1114113"),
        ({"top_k": 1.5}, "top_k: 1.5"),
        ({"top_k": True}, "top_k: True"),
        ({"top_p": 0}, "top_p: 0 is not a number above 0 and up to 1$"),
        ({"top_p": 1.01}, "top_p: 1.01"),
        ({"top_p": True}, "top_p: True"),
        ({"seed": -1}, "seed: -1 is not a whole number from 0 to 9223372036854775807$"),
        ({"seed": 2**63}, "seed: 9223372036854775808"),
        ({"seed": False}, "seed: False"),
    ],
)
def test_an_option_outside_its_bounds_is_named_with_what_is_allowed(options: dict[str, Any], message: str) -> None:
    with pytest.raises(OptionError, match=f"^{message}") as refused:
        Sampling(**options)
    assert {refused.value.field} == options.keys()


@pytest.mark.parametrize(
    "options",
    [
        {"temperature": 0},
        {"temperature": 0.01, "top_k": 1, "top_p": 1e-9, "seed": 0},
        {"temperature": 5, "top_k": 1114112, "top_p": 1, "seed": 2**63 - 1},
    ],
)
def test_the_bounds_themselves_are_allowed(options: dict[str, Any]) -> None:
    assert Sampling(**options).greedy == (options["temperature"] == 0)


def test_nothing_asked_for_is_greedy() -> None:
    assert Sampling().greedy


def book(logits: list[float], temperature: float, top_k: int, top_p: float) -> dict[int, float]:
    """The probability of each character that may be chosen, by the definition."""
    ranked = sorted(range(len(logits)), key=lambda v: (-logits[v], v))[:top_k]
    weights = {v: math.exp((logits[v] - logits[ranked[0]]) / temperature) for v in ranked}
    enough, kept = top_p * math.fsum(weights.values()), list[int]()
    while not kept or (math.fsum(weights[v] for v in kept) < enough and len(kept) < len(ranked)):
        kept.append(ranked[len(kept)])
    return {v: weights[v] / math.fsum(weights[v] for v in kept) for v in sorted(kept)}


@given(
    st.lists(st.integers(-8, 8), min_size=1, max_size=9),
    st.sampled_from([0.3, 1.0, 2.7]),
    st.sampled_from([1, 2, 3, 5, ALL]),
    st.sampled_from([1e-9, 0.313, 0.617, 0.913, 1.0]),
)
@example([2, -8, 0], 0.3, 3, 1.0)
@example([2, -8], 0.3, 2, 1.0)
def test_the_reference_gives_each_character_its_share_of_the_random_numbers_in_the_order_of_indices(
    logits: list[int], temperature: float, top_k: int, top_p: float
) -> None:
    row = np.array(logits, np.float32)
    end = 0.0
    for character, share in book([float(x) for x in logits], temperature, top_k, top_p).items():
        start, end = end, end + share
        if share < 1e-12:  # no float64 below 1 lies surely within it
            continue
        for inside in (start + 0.01 * share, end - 0.01 * share):
            assert choose_reference(row, temperature, top_k, top_p, inside) == character
    assert end == pytest.approx(1)
    assert choose_reference(row, 0, top_k, top_p, 0.99) == logits.index(max(logits))


@pytest.mark.parametrize("top_k", [4, ALL])
def test_the_reference_stops_where_a_sum_is_reached_and_chooses_where_it_is_exceeded(top_k: int) -> None:
    row = np.zeros(4, np.float32)  # each has exactly a quarter
    assert [choose_reference(row, 1, top_k, 1, u) for u in (0, 0.25, 0.5, 0.75, 1 - 2**-53)] == [0, 1, 2, 3, 3]
    assert [choose_reference(row, 1, top_k, p, 1 - 2**-53) for p in (0.25, 0.26, 0.5, 0.75, 1)] == [0, 1, 1, 2, 3]
