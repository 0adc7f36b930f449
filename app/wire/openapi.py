"""What the OpenAPI document says of problems and of event streams."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, Field

from app.wire.problems import OPENAIS_400
from app.wire.schemas import REFERENCE, Absent


class UnknownCharacter(BaseModel):
    """A character that the model has never seen."""

    character: str = Field(description="The character.")
    positions: list[int] = Field(description="Where it stands in the text as the model read it, from 0; 1000 at most.")


class FieldError(BaseModel):
    """What is wrong with one field."""

    field: str = Field(description="Its name; in a list or an object the place too, as in `stop.0`.")
    message: str = Field(description="What is wrong with it and what is allowed, without its name.")
    unknown: list[UnknownCharacter] | Absent = Field(
        None, description="Characters that the model has never seen, 1000 at most; absent where that is not the error."
    )


class Problem(BaseModel):
    """Why a request was not carried out, as RFC 9457 has it."""

    type: str = Field(
        description="The kind of problem, as the address of a page about it, such as `/problems/invalid-field`; "
        "`about:blank`: as the status says."
    )
    title: str = Field(description="What the kind means.")
    status: int = Field(description="The status of the answer; in a stream, the one that it would have had.")
    detail: str = Field(description="A sentence about this request.")
    errors: list[FieldError] | Absent = Field(
        None, description="The fields that are wrong, 20 at most; absent where it is none of them."
    )


class OpenAIError(BaseModel):
    """Why a request was not carried out, as OpenAI's API says it."""

    message: str = Field(description="A sentence about this request.")
    type: str = Field(
        description="One of `invalid_request_error`, `authentication_error`, `not_found_error`, `rate_limit_error` and "
        "`server_error`."
    )
    param: str | None = Field(description="The field that is wrong; null where it is none.")
    code: str | None = Field(
        description="A word for the cause, such as `model_not_found`, `queue_full` or `unknown_characters`; null where "
        "there is none."
    )


class OpenAIErrorBody(BaseModel):
    """The error of OpenAI's API."""

    error: OpenAIError = Field(description="Why the request was not carried out.")


EVERY_ROUTE = (401, 403, 413, 421, 429, 500, 503)  # what stands before a route may answer so, and what goes wrong in it
A_BODY = (408, 413, 415, 422)  # so may a route that reads one
PROBLEM = "application/problem+json"

_DESCRIBED = {
    401: "No key, or a wrong one",
    403: "A page of an origin that may not call",
    404: "No such model",
    408: "The body did not arrive in time",
    409: "A continuation token, or a Last-Event-ID, of other weights",
    413: "The body is too large",
    415: "A body of a kind that is not read",
    421: "Host is not a name of this service",
    422: "A field is out of bounds, or a character is unknown",
    429: "Too many requests",
    500: "An error of the server's own",
    503: "Not ready, stopping, or too busy",
}
_OPENAIS_400 = "A field is out of bounds, a character is unknown, or the body is too large"
_RETRY_AFTER = {
    "Retry-After": {"description": "Seconds after which to ask again.", "schema": {"type": "integer", "minimum": 0}}
}
_CHALLENGE = {"WWW-Authenticate": {"description": "How to send a key.", "schema": {"type": "string"}}}
_HEADERS = {401: {"headers": _CHALLENGE}, 429: {"headers": _RETRY_AFTER}, 503: {"headers": _RETRY_AFTER}}


def reference(name: str) -> dict[str, Any]:
    return {"$ref": REFERENCE.format(model=name)}


def form_of(name: str) -> dict[str, Any]:
    """The schema of a form with the fields of a body. Were it the body's own, generated clients would confuse both."""
    return {"allOf": [reference(name), {"description": "A form, in UTF-8. Of a list, each item is a field."}]}


def problem_response(status: int, description: str) -> dict[str, Any]:
    content = {PROBLEM: {"schema": reference("Problem")}}
    return {"description": f"{description}.", "content": content, **_HEADERS.get(status, {})}


def problem_responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """What to declare in the OpenAPI document for a route that can answer these."""
    return {status: problem_response(status, _DESCRIBED[status]) for status in statuses}


def openai_responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The same for a route under `/v1`, whose statuses are those of `problems.respond`."""
    responses: dict[int | str, dict[str, Any]] = {}
    for status in statuses:
        sent, said = (400, _OPENAIS_400) if status in OPENAIS_400 else (status, _DESCRIBED[status])
        responses[sent] = {"description": f"{said}.", "model": OpenAIErrorBody, **_HEADERS.get(sent, {})}
    return responses


def events(description: str, *schemas: type[BaseModel]) -> dict[str, Any]:
    """The content of an answer that may be an event stream. schemas: of what the events carry as JSON."""
    stream = {
        "type": "string",
        "description": description,
        "contentMediaType": "text/event-stream",
        "contentSchema": {"anyOf": [reference(schema.__name__) for schema in schemas]},
    }
    return {"text/event-stream": {"schema": stream}}
