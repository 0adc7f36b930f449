"""What the OpenAPI document says of problems."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict


class FieldError(BaseModel):
    model_config = ConfigDict(extra="allow")

    field: str
    message: str


class Problem(BaseModel):
    """RFC 9457."""

    type: str
    title: str
    status: int
    detail: str
    errors: list[FieldError] | None = None


class OpenAIError(BaseModel):
    message: str
    type: str
    param: str | None
    code: str | None


class OpenAIErrorBody(BaseModel):
    """The error of OpenAI's API."""

    error: OpenAIError


EVERY_ROUTE = (401, 403, 421, 429, 500, 503)  # what stands before a route may answer so, and what goes wrong behind it
A_BODY = (408, 413, 415, 422)  # so may a route that reads one
EVENTS = {"text/event-stream": {"schema": {"type": "string"}}}

_DESCRIBED = {
    400: "Not a request that can be read",
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
    503: "Not ready, or stopping",
}
_OPENAIS = {400: "A field is out of bounds, a character is unknown, or the body is too large"}  # where they are 400
_RETRY_AFTER = {
    "Retry-After": {"description": "Seconds after which to ask again.", "schema": {"type": "integer", "minimum": 0}}
}


def problem_responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """What to declare in the OpenAPI document for a route that can answer these."""
    schema = {"$ref": "#/components/schemas/Problem"}
    return {
        status: {
            "description": _DESCRIBED[status],
            "content": {"application/problem+json": {"schema": schema}},
            **_headers(status),
        }
        for status in statuses
    }


def openai_responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The same for a route under `/v1`, whose statuses are those of `problems.respond`."""
    return {
        status: {
            "description": _OPENAIS.get(status, _DESCRIBED[status]),
            "model": OpenAIErrorBody,
            **_headers(status),
        }
        for status in statuses
    }


def _headers(status: int) -> dict[str, Any]:
    return {"headers": _RETRY_AFTER} if status in (429, 503) else {}


def drop_unused_errors(document: dict[str, Any]) -> None:
    """Takes out the 422 that the framework declares for every route with a parameter in its path: none answers it."""
    unused = "HTTPValidationError"
    for methods in document["paths"].values():
        for operation in methods.values():
            if unused in str(operation["responses"].get("422")):
                del operation["responses"]["422"]
    for name in (unused, "ValidationError"):
        document.get("components", {}).get("schemas", {}).pop(name, None)
