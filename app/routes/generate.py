"""`/generate`: what the model writes after a prefix. The fields come as query parameters, or on POST as a JSON body."""

from __future__ import annotations

from typing import Annotated, Any
from urllib.parse import unquote_to_bytes

from fastapi import APIRouter, Header, Query, Request, Response

from app.answering import answer, question, submit
from app.errors import ProblemError, dump, field_problem
from app.schemas import GenerateAnswer, GenerateBody, GenerateFields, GenerateQuery, problem_responses
from app.service import Service, ServiceOf
from app.streaming import event_stream, events, seen_by_client
from app.waiting import until_gone

router = APIRouter(tags=["generate"])

_RESPONSES: dict[int | str, dict[str, Any]] = {
    200: {
        "model": GenerateAnswer,
        "content": {"text/event-stream": {"schema": {"type": "string"}}},
        "description": "The text; with stream=true, events: `chunk` …, then `done` (this same body) or `error`.",
    },
    **problem_responses(400, 401, 404, 409, 413, 422, 429, 503),
}
LastEventId = Annotated[str | None, Header(description="Resume a stream behind this event.")]


@router.get("/generate", responses=_RESPONSES)
async def generate_from_query(
    request: Request,
    service: ServiceOf,
    query: Annotated[GenerateQuery, Query()],
    last_event_id: LastEventId = None,
) -> Response:
    """Continues a prefix. Greedy unless `temperature` is above 0."""
    check_query_is_utf8(request)
    return await generate(request, service, query, last_event_id)


@router.post("/generate", responses=_RESPONSES)
async def generate_from_query_or_body(
    request: Request,
    service: ServiceOf,
    query: Annotated[GenerateQuery, Query()],
    body: GenerateBody | None = None,
    last_event_id: LastEventId = None,
) -> Response:
    """Continues a prefix. Fields may come as query parameters or as a JSON body, each in one of the two."""
    check_query_is_utf8(request)
    return await generate(request, service, merge(query, body), last_event_id)


def merge(query: GenerateFields, body: GenerateFields | None) -> GenerateFields:
    """The fields of both. Raises ProblemError for one that was given twice."""
    if body is None:
        return query
    twice = sorted(query.model_fields_set & body.model_fields_set)
    if twice:
        raise field_problem(twice[0], "is in the query and in the body; give it once")
    given = {name: getattr(query, name) for name in query.model_fields_set}
    return body.model_copy(update=given) if given else body


def check_query_is_utf8(request: Request) -> None:
    """The framework would put U+FFFD for what does not decode; a text that was never sent must not be continued."""
    raw = request.scope["query_string"]
    try:
        if b"%" in raw or not raw.isascii():
            unquote_to_bytes(raw).decode()
    except UnicodeDecodeError:
        raise ProblemError(422, "the query is not UTF-8") from None


async def generate(request: Request, service: Service, fields: GenerateFields, last_event_id: str | None) -> Response:
    asked = question(fields, service.registry.get(fields.model), service.settings, service.secret)
    seen = seen_by_client(last_event_id, fields.n) if fields.stream else []
    if seen is None:
        return Response(status_code=204)  # tells an EventSource that it has everything
    generation = submit(asked)
    if fields.stream:
        return event_stream(events(asked, generation, seen, service.secret))
    result = await until_gone(request, generation)
    return Response(dump(answer(asked, result, service.secret)), media_type="application/json")
