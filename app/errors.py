"""Domain errors become HTTP answers here and nowhere else.

Everywhere the answer is RFC 9457 `application/problem+json`; under `/v1` it has OpenAI's shape and OpenAI's codes.
What a client sent is never the cause of a 500, and is never echoed into a header or the log.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from http import HTTPStatus
from typing import Any

import structlog
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.routing import Match

from model.errors import CheckpointError, NextcharError, OptionError, UnknownCharactersError, describe

log = structlog.get_logger()

MAX_FIELD_ERRORS = 20
SHOWN_CHARS = 60  # of a value in a message
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")


class ProblemError(Exception):
    """An answer that is not 2xx. `errors` lists fields: {"field", "message"} and what else helps to mend them.

    As an exception it says its status only: the detail quotes what a client sent, and a traceback may be logged.
    """

    def __init__(
        self,
        status: int,
        detail: str,
        *,
        errors: Sequence[Mapping[str, Any]] = (),
        retry_after_s: int | None = None,
        headers: Mapping[str, str] | None = None,
        code: str | None = None,
    ) -> None:
        super().__init__(f"{status} {_title(status)}")
        self.status = status
        self.detail = detail
        self.errors = list(errors)
        self.code = code
        self.headers = dict(headers or {})
        if retry_after_s is not None:
            self.headers["Retry-After"] = str(retry_after_s)


def from_domain(error: NextcharError) -> ProblemError:
    """The answer to an error of the model's that a client's input caused."""
    if isinstance(error, UnknownCharactersError):
        unknown = [{"character": character, "positions": p[:1000]} for character, p in error.positions.items()]
        item = {"field": "prefix", "message": str(error), "unknown": unknown[:1000]}
        return ProblemError(422, str(error), errors=[item], code="unknown_characters")
    if isinstance(error, OptionError):
        return ProblemError(422, str(error), errors=[{"field": error.field, "message": str(error)}])
    if isinstance(error, CheckpointError):
        return ProblemError(503, str(error), retry_after_s=5)
    return ProblemError(422, str(error))


def field_problem(field: str, message: str) -> ProblemError:
    return ProblemError(422, f"{field}: {message}", errors=[{"field": field, "message": message}])


def respond(request: Request, problem: ProblemError) -> Response:
    """The problem in the shape that the route's clients expect."""
    openai = request.scope["path"].startswith("/v1/")
    body = openai_body(problem) if openai else problem_body(problem)
    # 422 is FastAPI's word for a bad request; OpenAI's is 400.
    status = 400 if openai and problem.status in (409, 413, 422) else problem.status
    media_type = "application/json" if openai else "application/problem+json"
    return Response(dump(body), status, problem.headers, media_type)


def problem_body(problem: ProblemError) -> dict[str, Any]:
    body: dict[str, Any] = {
        "type": "about:blank",
        "title": _title(problem.status),
        "status": problem.status,
        "detail": problem.detail,
    }
    return {**body, "errors": problem.errors} if problem.errors else body


def _title(status: int) -> str:
    return HTTPStatus(status).phrase if status in HTTPStatus._value2member_map_ else "Client Closed Request"


_OPENAI_TYPES = {401: "authentication_error", 404: "not_found_error", 429: "rate_limit_error"}


def openai_body(problem: ProblemError) -> dict[str, Any]:
    kind = _OPENAI_TYPES.get(problem.status, "server_error" if problem.status >= 500 else "invalid_request_error")
    param = problem.errors[0]["field"] if problem.errors else None
    return {"error": {"message": problem.detail, "type": kind, "param": param, "code": problem.code}}


def dump(body: Any, default: Callable[[Any], Any] | None = None) -> bytes:
    """JSON in UTF-8. A lone surrogate that a client sent comes back as its escape, which UTF-8 cannot hold itself.

    default: what stands for a value that JSON does not have.
    """
    text = json.dumps(body, ensure_ascii=False, allow_nan=False, separators=(",", ":"), default=default)
    return text.encode("utf-8", "backslashreplace")


def from_validation(items: Sequence[Mapping[str, Any]]) -> ProblemError:
    """Pydantic's findings as sentences that name the field, the value and what is allowed."""
    errors = []
    for item in items[:MAX_FIELD_ERRORS]:
        place = [part for part in item["loc"] if part not in ("query", "body")]
        field = ".".join(show(part).strip("'") for part in place) or "body"
        if item["type"] == "extra_forbidden":
            message = "there is no such field"
        elif item["type"] == "json_invalid":
            field, message = "body", f"is not JSON: {item['ctx']['error']}"
        elif item["type"] == "missing":
            message = "is missing"
        else:
            message = f"{show(item.get('input'))}: {item['msg'].removeprefix('Value error, ')}"
        errors.append({"field": field, "message": message})
    detail = "; ".join(f"{error['field']}: {error['message']}" for error in errors[:3])
    return ProblemError(422, detail, errors=errors)


def show(value: object) -> str:
    """A value as a message can show it: short, printable, on one line."""
    if isinstance(value, str):
        text = "'" + "".join(c if c.isprintable() else describe(c) for c in value[: SHOWN_CHARS + 1]) + "'"
    elif isinstance(value, int) and value.bit_length() > 256:
        return "a number of over 77 digits"
    elif isinstance(value, dict | list):
        return "a list" if isinstance(value, list) else "an object"
    else:
        text = repr(value)
    return text if len(text) <= SHOWN_CHARS else text[:SHOWN_CHARS] + "…"


def _methods(request: Request) -> list[str]:
    """The methods of a path, whatever routes they are spread over: each route knows its own only."""

    def taken(method: str) -> bool:
        scope = {**request.scope, "method": method}
        return any(route.matches(scope)[0] == Match.FULL for route in request.app.routes)

    return [method for method in METHODS if taken(method)]


def server_error() -> ProblemError:
    return ProblemError(500, "an error of the server's own; its log has the cause")


def install(app: FastAPI) -> None:
    """Makes every error of every route one of the above."""

    @app.exception_handler(ProblemError)
    async def problem(request: Request, error: ProblemError) -> Response:
        return respond(request, error)

    @app.exception_handler(NextcharError)
    async def domain(request: Request, error: NextcharError) -> Response:
        return respond(request, from_domain(error))

    @app.exception_handler(RequestValidationError)
    async def validation(request: Request, error: RequestValidationError) -> Response:
        return respond(request, from_validation(error.errors()))

    @app.exception_handler(HTTPException)
    async def http(request: Request, error: HTTPException) -> Response:
        if isinstance(error.__cause__, ClientDisconnect):  # the framework takes it for a body that cannot be read
            raise error.__cause__
        if error.status_code == 404:
            error.detail = "there is nothing at this address"
        if error.status_code == 405:
            error.headers = {"Allow": ", ".join(_methods(request))}
            error.detail = f"this address takes {error.headers['Allow']}"
        if error.status_code == 400 and "parsing the body" in str(error.detail):
            error.detail = "the body is not JSON, or is nested too deep"
        return respond(request, ProblemError(error.status_code, str(error.detail), headers=error.headers))

    @app.exception_handler(RecursionError)
    async def too_deep(request: Request, _: RecursionError) -> Response:
        return respond(request, ProblemError(422, "body: is nested too deep"))

    @app.exception_handler(Exception)
    async def ours(request: Request, _: Exception) -> Response:
        # Only what stands outside LastResort comes here; the server logs it.
        return respond(request, server_error())
