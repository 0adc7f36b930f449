"""Server-sent events: chunks as they are written, then the whole answer, or an error.

Nothing is stored for a client that comes back with `Last-Event-ID`: decoding depends on the request and its seed alone,
so the text is made again and what the client has seen already is left out. See `event_id`.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from typing import Any

from fastapi.sse import KEEPALIVE_COMMENT, EventSourceResponse
from starlette.types import Receive, Scope, Send

from app.answering import Question, answer, logprobs, problem_of
from app.errors import ProblemError, field_problem, problem_body
from app.event_id import DONE, FIELD, OtherWeightsError, Place
from app.generation import Chunk, Generation, Result, SchedulerError
from app.long_json import in_turns, pieces
from model.measure import part_of

KEEPALIVE_S = 15.0
HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}


def event_stream(events: AsyncIterator[bytes], generations: Sequence[Generation[Result]]) -> EventSourceResponse:
    """The answer that sends the events. However it ends, the generations' rows are free at the next tick, also where no
    event was ever asked for: a client may have left before the first."""
    return _EventStream(events, generations)


class _EventStream(EventSourceResponse):
    def __init__(self, events: AsyncIterator[bytes], generations: Sequence[Generation[Result]]) -> None:
        super().__init__(events, headers=HEADERS)
        self._generations = generations

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            for generation in self._generations:
                generation.cancel()


def place_of(asked: Question, last_event_id: Place | None) -> Place:
    """Where the stream goes on. Raises ProblemError for an id of another request (422) or of other weights (409)."""
    digest = asked.served.lm.checkpoint.digest
    if last_event_id is None:
        return Place.beginning(asked.request, digest)
    try:
        last_event_id.check(asked.request, digest)
    except OtherWeightsError as error:
        raise ProblemError(409, str(error), errors=[{"field": error.field, "message": str(error)}]) from error
    return last_event_id


async def events(asked: Question, generation: Generation[Result], place: Place, secret: bytes) -> AsyncIterator[bytes]:
    """The stream's bytes, behind a place."""
    characters = asked.served.lm.vocabulary.characters
    written = [0] * len(place.seen)

    def chunk_event(_: int, chunk: Chunk) -> Iterable[bytes]:
        skip = max(place.seen[chunk.index] - written[chunk.index], 0)
        written[chunk.index] += len(chunk.text)
        text = chunk.text[skip:]
        if not text:
            return ()
        data: dict[str, Any] = {"text": text, "index": chunk.index}
        if chunk.measured is not None:
            data["logprobs"] = logprobs(characters, text, part_of(chunk.measured, skip, len(chunk.text)))
        # Behind another continuation's chunk, this id still says what the client has of each.
        have = place.written(tuple(map(max, written, place.seen)))
        return _event("chunk", data, have)

    try:
        async for event in merged_with_keepalive([generation], chunk_event):
            yield event
        for seen, own in zip(place.seen, written, strict=True):
            if seen > own:
                raise field_problem(FIELD, f"is behind {seen} characters; this request's text has {own}")
        async for piece in in_turns(_event("done", answer(asked, await generation, secret), DONE)):
            yield piece
    except (SchedulerError, ProblemError) as error:
        problem = error if isinstance(error, ProblemError) else problem_of(error)
        for piece in _event("error", problem_body(problem)):
            yield piece


def _event(name: str, body: dict[str, Any], event_id: str | None = None) -> Iterator[bytes]:
    yield f"event: {name}\ndata: ".encode()
    yield from pieces(body)
    yield b"\n\n" if event_id is None else f"\nid: {event_id}\n\n".encode()


async def merged_with_keepalive(
    generations: Sequence[Generation[Result]], encode: Callable[[int, Chunk], Iterable[bytes]]
) -> AsyncIterator[bytes]:
    """The encoded chunks of all as they come, and a comment whenever none came for KEEPALIVE_S.

    encode: the place of the generation and its chunk ↦ the pieces of an event. Raises SchedulerError.
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
