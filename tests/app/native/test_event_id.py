from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.native.event_id import OtherWeightsError, Place
from app.scheduling.requests import GenerateRequest
from model.errors import OptionError
from model.sampling.options import MAX_SEED, Sampling

DIGEST = "0123456789abcdef" * 4


def request(n: int = 2, num_chars: int = 50, seed: int | None = 7) -> GenerateRequest:
    return GenerateRequest(np.zeros(1, np.int64), num_chars, Sampling(0.0 if seed is None else 1.0, seed=seed), n)


@given(
    seen=st.lists(st.integers(0, 2**53), min_size=1, max_size=16).map(tuple),
    seed=st.none() | st.integers(0, MAX_SEED),
)
def test_an_id_says_all_that_makes_the_rest_the_same_text(seen: tuple[int, ...], seed: int | None) -> None:
    place = Place.beginning(request(len(seen), seed=seed), DIGEST)
    assert place.seen == (0,) * len(seen)
    event_id = place.written(seen)
    assert Place.read(event_id) == Place(seen, seed, DIGEST[:16])
    assert set(event_id) <= set("0123456789abcdefgry.-")
    Place.read(event_id).check(request(len(seen), 2**53, seed), DIGEST)


@pytest.mark.parametrize(
    "event_id",
    [
        "20",
        "20.17",
        "",
        "-7-0123456789abcdef",
        "-1-7-0123456789abcdef",
        "1.-2-7-0123456789abcdef",
        "1..2-7-0123456789abcdef",
        "1.2-none-0123456789abcdef",
        "1.2--7-0123456789abcdef",
        "1.2-7-0123456789abcde",
        "1.2-7-0123456789ABCDEF",
        "1.2-7-0123456789abcdef\n",
        "1.2-7-0123456789abcdef-",
        "1.²-7-0123456789abcdef",
        f"1.2-{MAX_SEED + 1}-0123456789abcdef",
        "9" * 400 + "-7-0123456789abcdef",
    ],
)
def test_what_is_no_id_is_refused(event_id: str) -> None:
    with pytest.raises(OptionError, match="Last-Event-ID: is not an id that this server gave"):
        Place.read(event_id)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        (request(n=3), "is of 2 continuations; this request has n: 3"),
        (request(num_chars=19), "is behind 20 characters; num_chars is 19"),
        (request(seed=8), "is of the seed 7; this request is of the seed 8"),
        (request(seed=None), "is of the seed 7; this request is of a greedy text"),
    ],
)
def test_an_id_of_another_request_is_refused_with_what_differs(changed: GenerateRequest, message: str) -> None:
    with pytest.raises(OptionError, match=message) as refused:
        Place.read(f"20.17-7-{DIGEST[:16]}").check(changed, DIGEST)
    assert refused.value.field == "Last-Event-ID"


def test_a_greedy_id_is_none_of_a_sampled_text() -> None:
    with pytest.raises(OptionError, match="is of a greedy text; this request is of the seed 7"):
        Place.read(f"20.17-greedy-{DIGEST[:16]}").check(request(), DIGEST)


def test_an_id_of_other_weights_is_told_apart() -> None:
    with pytest.raises(OtherWeightsError) as refused:
        Place.read(f"20.17-7-{DIGEST[:16]}").check(request(), "f" + DIGEST[1:])
    assert refused.value.field == "Last-Event-ID"


def test_the_largest_seed_is_one() -> None:
    assert Place.read(f"1-{MAX_SEED}-{DIGEST[:16]}").seed == MAX_SEED
