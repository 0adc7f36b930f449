"""JSON that is made while it leaves, so that a long answer is never there as a whole.

The bytes are those of `wire.json.dump`. Knows nothing of what the values mean.
"""

from __future__ import annotations

import asyncio
import secrets
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import chain
from typing import Any

from starlette.responses import Response, StreamingResponse

from app.wire.json import dump

PIECE_BYTES = 65_536
STEP_VALUES = 1000  # made at once: some milliseconds in which the event loop does nothing else


@dataclass(frozen=True)
class Long:
    """A list of many values. part(start, stop): its elements start … stop − 1, values_each: how much one is to make."""

    length: int
    part: Callable[[int, int], list[Any]]
    values_each: int = 1

    def pieces(self) -> Iterator[bytes]:
        step = max(STEP_VALUES // self.values_each, 1)
        before = b"["
        for start in range(0, self.length, step):
            yield before + dump(self.part(start, min(start + step, self.length)))[1:-1]
            before = b","
        yield b"]" if self.length else b"[]"


def pieces(body: Any) -> Iterator[bytes]:
    """The bytes of a body that may hold a `Long` anywhere. What a Long holds is let go behind its last piece."""
    longs: deque[Long] = deque()
    mark = ""

    def hold(value: object) -> str:
        nonlocal mark
        if not isinstance(value, Long):
            raise TypeError(f"{type(value).__name__} is no JSON")
        longs.append(value)
        mark = mark or secrets.token_hex()  # what no client's text can hold stands where a Long will
        return mark

    around = dump(body, hold)
    del body
    if not longs:
        yield around
        return
    begun, *rest = around.split(f'"{mark}"'.encode())
    yield begun
    for after in rest:
        yield from longs.popleft().pieces()
        yield after


async def in_turns(parts: Iterable[bytes]) -> AsyncIterator[bytes]:
    """The same bytes in pieces of about PIECE_BYTES. Between two of them everybody else has a turn: sending waits for
    nobody as long as the client reads fast enough."""
    waiting = bytearray()
    for part in parts:
        waiting += part
        if len(waiting) >= PIECE_BYTES:
            yield bytes(waiting)
            waiting.clear()
            await asyncio.sleep(0)
    if waiting:
        yield bytes(waiting)


def response(body: Any) -> Response:
    """A short body as a whole, a long one in pieces as the client reads them."""
    parts = pieces(body)
    begun = bytearray()
    for part in parts:
        begun += part
        if len(begun) >= PIECE_BYTES:
            return StreamingResponse(in_turns(chain([bytes(begun)], parts)), media_type="application/json")
    return Response(bytes(begun), media_type="application/json")
