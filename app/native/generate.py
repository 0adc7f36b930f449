"""`/generate`: what the model writes after a prefix. The fields come in the query, or on POST as JSON or as a form.

Fields are read in `app.wire.bodies` with pydantic alone, and declared in the OpenAPI document by hand from the same
classes: the framework's own reading of a query of fifteen fields took a sixth of the event loop's time under load.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fastapi import APIRouter, Request, Response

from app.native.answers import GenerateAnswer, GenerateChunk, answer
from app.native.asking import question_of
from app.native.event_id import DONE, Place
from app.native.fields import GenerateBody, GenerateFields, GenerateQuery
from app.native.stream import events, place_of
from app.serving.question import submit
from app.serving.service import Service, ServiceOf, caller_of
from app.wire.bodies import fields_of, from_query
from app.wire.body_kind import FORM, JSON
from app.wire.disconnect import until_gone
from app.wire.event_stream import HEADERS, MEDIA_TYPE, accepts_events, event_stream
from app.wire.long_json import response
from app.wire.openapi import A_BODY, EVERY_ROUTE, Problem, form_of, problem_responses, reference
from app.wire.openapi import events as declared_events
from app.wire.schemas import query_parameters
from app.wire.validation import from_errors
from model.errors import show

router = APIRouter(tags=["generate"])

_RESPONSES: dict[int | str, dict[str, Any]] = {
    200: {
        "model": GenerateAnswer,
        "content": declared_events(
            "Events `chunk` with a GenerateChunk each, then `done` with the GenerateAnswer, or `error` with a Problem. "
            "Each has an `id`, but `error`.",
            *(GenerateChunk, GenerateAnswer, Problem),
        ),
        "description": "The text, or with `stream` its events; so too where `stream` is not given and `Accept` names "
        "text/event-stream, as an EventSource does.",
    },
    204: {"description": "With Last-Event-ID `done`: the stream has ended, there is nothing more."},
    **problem_responses(404, 409, 422, *EVERY_ROUTE),
}
_BODY_RESPONSES = {**_RESPONSES, **problem_responses(*A_BODY)}
_LAST_EVENT_ID = {
    "name": "Last-Event-ID",
    "in": "header",
    "description": "Resume a stream behind this event, with the same fields as before. Behind `done`: 204.",
    "schema": {"type": "string"},
}
_PARAMETERS = {"parameters": [*query_parameters(GenerateQuery), _LAST_EVENT_ID]}
_BODY = {
    "requestBody": {
        "description": "The fields that are not in the query.",
        "content": {
            JSON: {"schema": reference("GenerateBody")},
            FORM: {"schema": form_of("GenerateBody")},
        },
    }
}
_LISTS = frozenset({"stop"})


@router.get(
    "/generate",
    operation_id="generate_by_query",
    summary="Continue a text, asked for in the query",
    responses=_RESPONSES,
    openapi_extra=_PARAMETERS,
)
async def generate_from_query(request: Request, service: ServiceOf) -> Response:
    """Continues a prefix. Greedy unless `temperature` is above 0."""
    return await generate(request, service, read_query(request))


@router.post(
    "/generate",
    operation_id="generate",
    summary="Continue a text",
    responses=_BODY_RESPONSES,
    openapi_extra={**_PARAMETERS, **_BODY},
)
async def generate_from_query_or_body(request: Request, service: ServiceOf) -> Response:
    """Continues a prefix. Fields may come in a JSON body or in a form, and in the query. One that is in both must have
    one value."""
    query = read_query(request)
    return await generate(request, service, merge(query, await read_body(request)))


def read_query(request: Request) -> GenerateFields:
    return from_query(GenerateQuery, request.scope["query_string"], _LISTS)


async def read_body(request: Request) -> GenerateFields:
    return await fields_of(request, GenerateBody, GenerateQuery, _LISTS)


def merge(query: GenerateFields, body: GenerateFields) -> GenerateFields:
    """The fields of both. Raises ProblemError for those that have another value in each."""
    given = {name: getattr(query, name) for name in query.model_fields_set}
    errors = [
        {"field": name, "message": f"is {show(value)} in the query and {show(other)} in the body; give it once"}
        for name, value in sorted(given.items())
        if name in body.model_fields_set and (other := getattr(body, name)) != value
    ]
    if errors:
        raise from_errors(errors)
    return body.model_copy(update=given) if given else body


async def generate(request: Request, service: Service, fields: GenerateFields) -> Response:
    if "stream" in fields.model_fields_set:
        return await _answer(request, service, fields)
    if accepts_events(request):
        fields = fields.model_copy(update={"stream": True})
    answered = await _answer(request, service, fields)
    answered.headers.add_vary_header("Accept")
    return answered


async def _answer(request: Request, service: Service, fields: GenerateFields) -> Response:
    served, secret = service.registry.get(fields.model), service.secret.get_secret_value()
    last_event_id = request.headers.get("last-event-id") if fields.stream else None
    if last_event_id == DONE:
        return Response(status_code=204)  # tells an EventSource that it has everything
    behind = Place.read(last_event_id) if last_event_id else None
    drawn_seed = behind.seed if behind else None
    asked = question_of(fields, served, service.settings, secret, caller_of(request), drawn_seed)
    if fields.stream:
        place = place_of(asked, behind)
        if request.method == "HEAD":
            return head(MEDIA_TYPE, HEADERS)
        generation = submit(asked)
        return event_stream(events(asked, generation, place, secret, request.scope.get("root_path", "")), [generation])
    if request.method == "HEAD":
        return head(JSON, {})
    result = await until_gone(request, submit(asked))
    return response(answer(asked, result, secret))


def head(media_type: str, headers: Mapping[str, str]) -> Response:
    """What GET would answer, without the text: nobody would read it, and only it would tell its length."""
    response = Response(media_type=media_type, headers=headers)
    del response.headers["Content-Length"]
    return response
