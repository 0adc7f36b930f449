from __future__ import annotations

import asyncio
import json
import tracemalloc
import weakref
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.responses import Response, StreamingResponse

from app.wire.json import dump
from app.wire.long_json import PIECE_BYTES, Long, in_turns, pieces, response

PLAIN = st.none() | st.booleans() | st.floats(allow_nan=False, allow_infinity=False) | st.integers() | st.text()


def long(values: list[Any], values_each: int = 1) -> Long:
    return Long(len(values), lambda start, stop: values[start:stop], values_each)


def body_of(response: Response) -> bytes:
    """What the response sends, without a server."""
    sent: list[bytes] = []

    async def send(message: Any) -> None:
        sent.append(message.get("body", b""))

    async def run() -> None:
        await response({"type": "http", "asgi": {"spec_version": "2.4"}}, None, send)  # type: ignore[arg-type]

    asyncio.run(run())
    return b"".join(sent)


@given(
    lists=st.lists(st.lists(PLAIN | st.lists(PLAIN, max_size=3), max_size=40), max_size=4),
    values_each=st.integers(1, 5000),
    around=PLAIN,
)
def test_the_bytes_are_those_of_the_whole_body(lists: list[list[Any]], values_each: int, around: Any) -> None:
    def body(made: Callable[[list[Any]], Any]) -> dict[str, Any]:
        return {"before": around, "deep": [{"inside": made(values)} for values in lists], "behind": [around]}

    assert b"".join(pieces(body(lambda values: long(values, values_each)))) == dump(body(lambda values: values))


@pytest.mark.parametrize("value", [0.1, 1e-05, 1e16, 1e22, -0.0, 5e-324, -2.9951635619802404, float(np.float32(0.1))])
def test_numbers_are_written_as_json_writes_them(value: float) -> None:
    assert b"".join(pieces([long([value])])) == json.dumps([[value]]).encode()


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_number_that_json_does_not_have_is_an_error(value: float) -> None:
    with pytest.raises(ValueError, match="Out of range"):
        list(pieces([long([value])]))


def test_what_is_neither_json_nor_long_is_an_error() -> None:
    with pytest.raises(TypeError, match="set is no JSON"):
        list(pieces({"a": set()}))


def test_no_more_than_a_piece_is_there_at_once_and_what_has_left_is_freed() -> None:
    arrays = [np.arange(100_000) + 0.5 for _ in range(3)]
    alive = [weakref.ref(array) for array in arrays]

    def of(array: Any) -> Long:
        return Long(len(array), lambda start, stop: array[start:stop].tolist())

    parts = pieces({"lists": [of(array) for array in arrays], "end": True})
    arrays.clear()
    left, size = [], 0
    tracemalloc.start()
    for part in parts:
        size += len(part)
        assert len(part) < PIECE_BYTES
        left.append(sum(ref() is not None for ref in alive))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert size > 2_000_000
    assert peak < 300_000
    assert left == sorted(left, reverse=True)
    assert left[-1] == 0
    assert left.count(2) > 50


def test_others_have_a_turn_between_two_pieces() -> None:
    turns: list[str] = []

    async def other() -> None:
        while True:
            turns.append("other")
            await asyncio.sleep(0)

    async def run() -> None:
        task = asyncio.create_task(other())
        async for piece in in_turns([b"a" * 1000] * 400):
            turns.append("piece")
            assert len(piece) <= PIECE_BYTES + 1000
        task.cancel()

    asyncio.run(run())
    assert turns.count("piece") == 7
    assert all("other" in turns[i : i + 3] for i in range(len(turns) - 3))


def test_a_short_body_goes_as_a_whole_and_a_long_one_in_pieces() -> None:
    values = [i / 7 for i in range(20_000)]
    short, whole = response({"values": long(values[:50])}), response({"values": long(values)})
    assert not isinstance(short, StreamingResponse)
    assert int(short.headers["content-length"]) == len(body_of(short))
    assert isinstance(whole, StreamingResponse)
    for answer, count in ((short, 50), (whole, 20_000)):
        assert answer.headers["content-type"] == "application/json"
        assert body_of(answer) == dump({"values": values[:count]})


def test_a_lone_surrogate_is_its_escape() -> None:
    assert json.loads(dump({"a": "x\ud800é"})) == {"a": "x\ud800é"}
    assert dump("\ud800é") == '"\\ud800é"'.encode()
