"""The events of a streamed answer: chunks as they are written, then the whole answer, or an error.

Nothing is stored for a client that comes back with `Last-Event-ID`: decoding depends on the request and its seed alone,
so the text is made again and what the client has seen already is left out. See `event_id`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Iterator
from typing import Any

from app.native.answers import answer, logprobs
from app.native.event_id import DONE, FIELD, OtherWeightsError, Place
from app.refusals import Refusal
from app.scheduling.reply import Reply
from app.scheduling.requests import Chunk, Result
from app.serving.question import Question
from app.wire.event_stream import data_line, merged_with_keepalive
from app.wire.long_json import in_turns
from app.wire.problems import ProblemError, field_problem, problem_body, problem_of
from model.decoding.measure import part_of


def place_of(asked: Question, last_event_id: Place | None) -> Place:
    """Where the stream goes on. Raises ProblemError for an id of another request (422) or of other weights (409)."""
    digest = asked.served.lm.checkpoint.digest
    if last_event_id is None:
        return Place.beginning(asked.request, digest)
    try:
        last_event_id.check(asked.request, digest)
    except OtherWeightsError as error:
        raise field_problem(error.field, error.message, 409) from error
    return last_event_id


async def events(
    asked: Question, generation: Reply[Result], place: Place, secret: bytes, root_path: str = ""
) -> AsyncIterator[bytes]:
    """The stream's bytes, behind a place. root_path: what the address of a problem's page begins with."""
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
    except (Refusal, ProblemError) as error:
        problem = error if isinstance(error, ProblemError) else problem_of(error)
        for piece in _event("error", problem_body(problem, root_path)):
            yield piece


def _event(name: str, body: dict[str, Any], event_id: str | None = None) -> Iterator[bytes]:
    yield f"event: {name}\n".encode()
    yield from data_line(body)
    yield b"\n" if event_id is None else f"id: {event_id}\n\n".encode()
