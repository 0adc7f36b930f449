"""Problems in both shapes, and which error has which status.

Everywhere the answer is RFC 9457 `application/problem+json`, whose `type` is the address of a page about it; under
`/v1` it has OpenAI's shape and OpenAI's codes.
What a client sent is never the cause of a 500, and is never echoed into a header or the log.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from fastapi import Request, Response

from app.refusals import DeadlineExceeded, NoSuchModel, QueueFull, Refusal, StepFailed
from app.wire.json import dump
from app.wire.problem_types import phrase, type_and_title
from model.errors import CheckpointError, NextcharError, OptionError, UnknownCharactersError

OPENAIS_400 = (409, 413, 422)  # what is 400 in OpenAI's API


class ProblemError(Exception):
    """An answer that is not 2xx. `errors` lists fields: {"field", "message"}, the second without the first, and what
    else helps to mend them.

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
        super().__init__(f"{status} {phrase(status)}")
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
        return _unknown(error, "prefix", str(error))
    if isinstance(error, OptionError):
        return field_problem(error.field, error.message)
    if isinstance(error, CheckpointError):
        return ProblemError(503, str(error), retry_after_s=5)
    return ProblemError(422, str(error))


def field_problem(field: str, message: str, status: int = 422) -> ProblemError:
    return ProblemError(status, f"{field}: {message}", errors=[{"field": field, "message": message}])


def respond(request: Request, problem: ProblemError) -> Response:
    """The problem in the shape that the route's clients expect."""
    openai = request.scope["path"].startswith("/v1/")
    body = openai_body(problem) if openai else problem_body(problem, request.scope.get("root_path", ""))
    status = 400 if openai and problem.status in OPENAIS_400 else problem.status
    media_type = "application/json" if openai else "application/problem+json"
    return Response(dump(body), status, problem.headers, media_type)


def problem_body(problem: ProblemError, root_path: str = "") -> dict[str, Any]:
    """root_path: what the address in `type` begins with."""
    kind, title = type_and_title(problem.status, problem.code, root_path)
    body: dict[str, Any] = {"type": kind, "title": title, "status": problem.status, "detail": problem.detail}
    return {**body, "errors": problem.errors} if problem.errors else body


_OPENAI_TYPES = {401: "authentication_error", 404: "not_found_error", 429: "rate_limit_error"}


def openai_body(problem: ProblemError) -> dict[str, Any]:
    kind = _OPENAI_TYPES.get(problem.status, "server_error" if problem.status >= 500 else "invalid_request_error")
    param = problem.errors[0]["field"] if problem.errors else None
    return {"error": {"message": problem.detail, "type": kind, "param": param, "code": problem.code}}


# Status and code; a kind that is not here has those of the kind it belongs to.
_REFUSALS: Mapping[type, tuple[int, str | None]] = {
    NoSuchModel: (404, "model_not_found"),
    QueueFull: (429, "queue_full"),
    StepFailed: (500, None),
    DeadlineExceeded: (503, "timeout"),
    Refusal: (503, None),
}


def problem_of(error: Refusal) -> ProblemError:
    """The answer to a request that was not carried out."""
    status, code = next(_REFUSALS[kind] for kind in type(error).__mro__ if kind in _REFUSALS)
    errors = [{"field": "model", "message": error.message}] if isinstance(error, NoSuchModel) else []
    retry_after_s = error.retry_after_s or (1 if status == 503 else None)
    return ProblemError(status, str(error), errors=errors, retry_after_s=retry_after_s, code=code)


def name_field(error: UnknownCharactersError, field: str) -> ProblemError:
    """Unknown characters in another field than `prefix`."""
    return _unknown(error, field, f"{field}: {error}")


def _unknown(error: UnknownCharactersError, field: str, detail: str) -> ProblemError:
    unknown = [{"character": character, "positions": places[:1000]} for character, places in error.positions.items()]
    item = {"field": field, "message": str(error), "unknown": unknown[:1000]}
    return ProblemError(422, detail, errors=[item], code="unknown_characters")
