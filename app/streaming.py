"""Server-sent events: chunks as they are written, then the whole answer, or an error.

Nothing is stored for a client that comes back with `Last-Event-ID`: decoding depends on the request alone, so the text
is made again and what the client has seen already is left out. An event's id says how much that is.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

from fastapi.sse import KEEPALIVE_COMMENT, EventSourceResponse, format_sse_event

from app.answering import Question, answer, logprobs, problem_of
from app.errors import dump, field_problem, problem_body
from app.generation import Chunk, Generation, Result, SchedulerError

KEEPALIVE_S = 15.0
HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
DONE_ID = "done"


def event_stream(events: AsyncIterator[bytes]) -> EventSourceResponse:
    return EventSourceResponse(events, headers=HEADERS)


def seen_by_client(last_event_id: str | None, n: int) -> list[int] | None:
    """How many characters of each continuation the client has, from its `Last-Event-ID`; None if it has all."""
    if not last_event_id:
        return [0] * n
    if last_event_id == DONE_ID:
        return None
    parts = last_event_id.split(".")
    if len(parts) != n or not all(part.isascii() and part.isdigit() and len(part) < 16 for part in parts):
        raise field_problem("Last-Event-ID", "is not an id that this stream gave")
    return [int(part) for part in parts]


async def events(
    asked: Question, generation: Generation[Result], seen: list[int], secret: bytes
) -> AsyncIterator[bytes]:
    """The stream's bytes. However it ends, the continuation's rows are free at the next tick."""
    characters = asked.served.lm.vocabulary.characters
    written = [0] * len(seen)

    def chunk_event(_: int, chunk: Chunk) -> bytes | None:
        begun = written[chunk.index]
        written[chunk.index] += len(chunk.text)
        skip = max(seen[chunk.index] - begun, 0)
        if skip >= len(chunk.text):
            return None
        data: dict[str, Any] = {"text": chunk.text[skip:], "index": chunk.index}
        if chunk.measured is not None:
            data["logprobs"] = logprobs(characters, chunk.text, chunk.measured)[skip:]
        # Behind another continuation's chunk, this id still says what the client has of each.
        have = ".".join(str(max(w, s)) for w, s in zip(written, seen, strict=True))
        return format_sse_event(event="chunk", data_str=dump(data).decode(), id=have)

    try:
        async for event in merged_with_keepalive([generation], chunk_event):
            yield event
        body = answer(asked, await generation, secret)
        yield format_sse_event(event="done", data_str=dump(body).decode(), id=DONE_ID)
    except SchedulerError as error:
        yield format_sse_event(event="error", data_str=dump(problem_body(problem_of(error))).decode())
    finally:
        generation.cancel()


async def merged_with_keepalive(
    generations: Sequence[Generation[Result]], encode: Callable[[int, Chunk], bytes | None]
) -> AsyncIterator[bytes]:
    """The encoded chunks of all as they come, and a comment whenever none came for KEEPALIVE_S.

    encode: the place of the generation and its chunk ↦ an event, None for nothing to send. Raises SchedulerError.
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
                    event = encode(place, chunk)
                    if event is not None:
                        yield event
    finally:
        for task in pending:
            task.cancel()
        await asyncio.gather(*pending, return_exceptions=True)
