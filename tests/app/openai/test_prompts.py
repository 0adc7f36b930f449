from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.openai.answers import logprobs_body
from app.wire import long_json
from app.wire.long_json import Long, pieces
from model.decoding.measure import Measured

CHARACTERS = "abcdefg"


def measured(count: int, alternatives: int, seed: int = 0) -> Measured:
    rng = np.random.default_rng(seed)
    return Measured(
        -rng.random(count),
        rng.integers(0, 7, count).astype(np.int32),
        rng.random(count),
        np.argsort(rng.random((count, 7)))[:, :alternatives].astype(np.int32),
        -rng.random((count, alternatives)),
    )


def plain(body: dict[str, Any]) -> Any:
    return json.loads(b"".join(pieces(body)))


@given(
    scored=st.integers(0, 12) | st.none(),
    written=st.integers(0, 12),
    alternatives=st.integers(0, 5),
    offset=st.integers(0, 50),
    step=st.integers(1, 9),
)
def test_the_columns_are_those_of_the_text_however_they_are_cut(
    scored: int | None, written: int, alternatives: int, offset: int, step: int
) -> None:
    """scored: characters of an echoed prompt behind its first one, which was not scored. None: nothing is echoed."""
    parts = [measured(written, alternatives, 1)]
    text = ("abcdefg" * 4)[: written if scored is None else 1 + scored + written]
    if scored is not None:
        parts.insert(0, measured(scored, alternatives))
    values: list[float | None] = [value for part in parts for value in part.logprobs]
    top: list[dict[str, float] | None] = [
        {CHARACTERS[i]: value for i, value in zip(part.alternatives[row], part.alternative_logprobs[row], strict=True)}
        for part in parts
        for row in range(len(part.logprobs))
    ]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(long_json, "STEP_VALUES", step)
        body = plain(logprobs_body(CHARACTERS, text, parts, offset))
    missing: list[None] = [] if scored is None else [None]
    assert body == {
        "tokens": list(text),
        "token_logprobs": [*missing, *values],
        "top_logprobs": [*missing, *top],
        "text_offset": [offset + place for place in range(len(text))],
    }


def test_no_more_values_than_a_step_are_made_at_once() -> None:
    body = logprobs_body(CHARACTERS, "a" * 3000, [measured(3000, 5)])
    assert all(isinstance(column, Long) for column in body.values())
    assert max(map(len, pieces(body))) < 100_000
