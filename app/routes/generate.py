"""`/generate`: what the model writes after a prefix. The fields come as query parameters, or on POST as a JSON body.

Fields are read here with pydantic alone, and declared in the OpenAPI document by hand from the same classes: the
framework's own reading of a query of fifteen fields took a sixth of the event loop's time under load.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qsl

from fastapi import APIRouter, Request, Response
from pydantic import ValidationError

from app.answering import answer, question, submit
from app.errors import ProblemError, dump, field_problem, from_validation
from app.event_id import DONE, Place
from app.schemas import GenerateAnswer, GenerateBody, GenerateFields, GenerateQuery, problem_responses
from app.service import Service, ServiceOf, caller_of
from app.streaming import event_stream, events, place_of
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
_LAST_EVENT_ID = {
    "name": "Last-Event-ID",
    "in": "header",
    "description": "Resume a stream behind this event, with the same fields as before. Behind `done`: 204.",
    "schema": {"type": "string"},
}
_PARAMETERS = {
    "parameters": [
        {"name": name, "in": "query", "description": schema.pop("description", ""), "schema": schema}
        for name, schema in GenerateQuery.model_json_schema()["properties"].items()
    ]
    + [_LAST_EVENT_ID]
}
_BODY = {"requestBody": {"content": {"application/json": {"schema": {"$ref": "#/components/schemas/GenerateBody"}}}}}
_LISTS = frozenset({"stop"})


@router.get("/generate", responses=_RESPONSES, openapi_extra=_PARAMETERS)
async def generate_from_query(request: Request, service: ServiceOf) -> Response:
    """Continues a prefix. Greedy unless `temperature` is above 0."""
    return await generate(request, service, read_query(request))


@router.post("/generate", responses=_RESPONSES, openapi_extra={**_PARAMETERS, **_BODY})
async def generate_from_query_or_body(request: Request, service: ServiceOf) -> Response:
    """Continues a prefix. Fields may come as query parameters or as a JSON body, each in one of the two."""
    query = read_query(request)
    raw = await request.body()
    return await generate(request, service, merge(query, read_body(raw)) if raw else query)


def read_query(request: Request) -> GenerateFields:
    """Raises ProblemError for a field that is unknown, given twice or out of bounds, and for what is not UTF-8."""
    given: dict[str, Any] = {}
    try:
        # Strictly: a text that was never sent must not be continued, so no U+FFFD for what does not decode.
        pairs = parse_qsl(request.scope["query_string"].decode("ascii"), keep_blank_values=True, errors="strict")
    except UnicodeDecodeError:
        raise ProblemError(422, "the query is not UTF-8") from None
    except ValueError as error:
        raise ProblemError(422, f"the query cannot be read: {error}") from None
    for name, value in pairs:
        if name in _LISTS:
            given.setdefault(name, []).append(value)
        elif name in given:
            raise field_problem(name[:60], "is given more than once")
        else:
            given[name] = value
    try:
        return GenerateQuery.model_validate(given)
    except ValidationError as error:
        raise from_validation(error.errors()) from None


def read_body(raw: bytes) -> GenerateFields:
    try:
        return GenerateBody.model_validate_json(raw)
    except ValidationError as error:
        raise from_validation(error.errors()) from None


def merge(query: GenerateFields, body: GenerateFields) -> GenerateFields:
    """The fields of both. Raises ProblemError for one that was given twice."""
    twice = sorted(query.model_fields_set & body.model_fields_set)
    if twice:
        raise field_problem(twice[0], "is in the query and in the body; give it once")
    given = {name: getattr(query, name) for name in query.model_fields_set}
    return body.model_copy(update=given) if given else body


async def generate(request: Request, service: Service, fields: GenerateFields) -> Response:
    served, secret = service.registry.get(fields.model), service.secret.get_secret_value()
    last_event_id = request.headers.get("last-event-id") if fields.stream else None
    if last_event_id == DONE:
        return Response(status_code=204)  # tells an EventSource that it has everything
    behind = Place.read(last_event_id) if last_event_id else None
    drawn_seed = behind.seed if behind else None
    asked = question(fields, served, service.settings, secret, caller_of(request), drawn_seed)
    if fields.stream:
        place = place_of(asked, behind)
        return event_stream(events(asked, submit(asked), place, secret))
    result = await until_gone(request, submit(asked))
    return Response(dump(answer(asked, result, secret)), media_type="application/json")
