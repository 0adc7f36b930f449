"""Server-sent events of several answers, kept alive."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from typing import Any

from fastapi.sse import KEEPALIVE_COMMENT, EventSourceResponse
from starlette.requests import Request
from starlette.types import Receive, Scope, Send

from app.scheduling.reply import Reply
from app.scheduling.requests import Chunk, Result
from app.wire.body_kind import JSON
from app.wire.long_json import in_turns, pieces

KEEPALIVE_S = 15.0
MEDIA_TYPE = "text/event-stream"
HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
# What JSON leaves as it is, and Python's str.splitlines (so httpx, so many clients) takes for the end of a line.
_LINE_ENDS = {character.encode(): f"\\u{ord(character):04x}".encode() for character in "\x85\u2028\u2029"}


def accepts_events(request: Request) -> bool:
    """Whether `Accept` names event streams, as an EventSource does, and does not like JSON better."""
    accept = ",".join(request.headers.getlist("accept")).lower()
    if MEDIA_TYPE not in accept:
        return False
    weights = dict(map(_weighed, accept.split(",")))
    return weights.get(MEDIA_TYPE, 0) > 0 and weights[MEDIA_TYPE] >= weights.get(JSON, 0)


def _weighed(media_range: str) -> tuple[str, float]:
    kind, *parameters = [part.strip() for part in media_range.split(";")]
    given = [parameter[2:] for parameter in parameters if parameter.startswith("q=")]
    try:
        return kind, float(given[0]) if given else 1.0
    except ValueError:
        return kind, 0.0


def data_line(body: Any) -> Iterator[bytes]:
    """The pieces of an event's line `data: …` with a body for `long_json`: one line for whoever reads it."""
    yield b"data: "
    for piece in pieces(body):
        if not piece.isascii():
            for end, escape in _LINE_ENDS.items():
                piece = piece.replace(end, escape)
        yield piece
    yield b"\n"


def event_stream(events: AsyncIterator[bytes], generations: Sequence[Reply[Result]]) -> EventSourceResponse:
    """The answer that sends the events. However it ends, the generations' rows are free at the next tick, also where no
    event was ever asked for: a client may have left before the first."""
    return _EventStream(events, generations)


class _EventStream(EventSourceResponse):
    def __init__(self, events: AsyncIterator[bytes], generations: Sequence[Reply[Result]]) -> None:
        super().__init__(events, headers=HEADERS)
        self._generations = generations

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            for generation in self._generations:
                generation.cancel()


async def merged_with_keepalive(
    generations: Sequence[Reply[Result]], encode: Callable[[int, Chunk], Iterable[bytes]]
) -> AsyncIterator[bytes]:
    """The encoded chunks of all as they come, and a comment whenever none came for KEEPALIVE_S.

    encode: the place of the generation and its chunk ↦ the pieces of an event. Raises Refusal.
    """
    sources = [aiter(generation) for generation in generations]
    pending = {asyncio.ensure_future(anext(source, None)): place for place, source in enumerate(sources)}
    try:
        while pending:
            done, _ = await asyncio.wait(pending, timeout=KEEPALIVE_S, return_when=asyncio.FIRST_COMPLETED)
            if not done:
                yield KEEPALIVE_COMMENT
            for task in done:
                place = pending.pop(task)
                chunk = task.result()
                if chunk is not None:
                    pending[asyncio.ensure_future(anext(sources[place], None))] = place
                    async for piece in in_turns(encode(place, chunk)):
                        yield piece
    finally:
        for task in pending:
            task.cancel()
        await asyncio.gather(*pending, return_exceptions=True)
