from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.sampling.random_stream import philox, uniform

# Known answers for Philox4x32-10 (counter, key, result), published with the algorithm.
KNOWN_ANSWERS = [
    ([0] * 4, [0] * 2, [0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8]),
    ([0xFFFFFFFF] * 4, [0xFFFFFFFF] * 2, [0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD]),
    (
        [0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344],
        [0xA4093822, 0x299F31D0],
        [0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1],
    ),
]


@pytest.mark.parametrize(("counter", "key", "result"), KNOWN_ANSWERS)
def test_philox_gives_the_published_answers(counter: list[int], key: list[int], result: list[int]) -> None:
    assert [int(word) for word in philox(*map(np.uint64, counter + key))] == result


def test_numbers_lie_in_the_unit_interval_and_fill_it_evenly() -> None:
    numbers = np.array([uniform(7, position) for position in range(20_000)])
    assert numbers.min() >= 0
    assert numbers.max() < 1
    counts, _ = np.histogram(numbers, bins=20, range=(0, 1))
    assert np.abs(counts - 1000).max() < 150  # five standard deviations


def test_neighbouring_seeds_and_positions_are_unrelated() -> None:
    one = np.array([uniform(1, position) for position in range(5000)])
    assert len(np.unique(one)) == 5000
    for other in (np.array([uniform(2, position) for position in range(5000)]), np.roll(one, 1)):
        assert abs(np.corrcoef(one, other)[0, 1]) < 0.07


def test_the_whole_seed_and_the_whole_position_matter() -> None:
    assert len({uniform(seed, position) for seed in (5, 5 + 2**32, 5 + 2**62) for position in (3, 3 + 2**32)}) == 6


def book_philox(counter: list[int], key: list[int]) -> list[int]:
    """As the paper has it, in whole numbers of any size."""
    a, b, c, d = counter
    k, l = key  # noqa: E741
    for _ in range(10):
        (high, low), (other_high, other_low) = divmod(0xD2511F53 * a, 2**32), divmod(0xCD9E8D57 * c, 2**32)
        a, b, c, d = other_high ^ b ^ k, other_low, high ^ d ^ l, low
        k, l = (k + 0x9E3779B9) % 2**32, (l + 0xBB67AE85) % 2**32  # noqa: E741
    return [a, b, c, d]


@given(st.integers(0, 2**63 - 1), st.integers(0, 2**63 - 1))
def test_a_number_is_the_first_53_bits_of_its_block(seed: int, position: int) -> None:
    first, second, *_ = book_philox([position % 2**32, position // 2**32, 0, 0], [seed % 2**32, seed // 2**32])
    expected = (first * 2**32 + second) // 2**11 / 2**53
    assert uniform(seed, position) == expected
