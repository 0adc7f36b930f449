"""Server-sent events of several answers, kept alive."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Sequence

from fastapi.sse import KEEPALIVE_COMMENT, EventSourceResponse
from starlette.types import Receive, Scope, Send

from app.scheduling.reply import Reply
from app.scheduling.requests import Chunk, Result
from app.wire.long_json import in_turns

KEEPALIVE_S = 15.0
HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}


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
