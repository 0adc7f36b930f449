"""Every error of every route becomes a problem."""

from __future__ import annotations

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.routing import Match

from app.refusals import Refusal
from app.wire.problems import ProblemError, from_domain, problem_of, respond
from app.wire.validation import from_validation
from model.errors import NextcharError

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
OF_THE_SERVER = "GET, HEAD, POST, OPTIONS"  # what `OPTIONS *` asks for


def _methods(request: Request) -> str:
    """The methods of a path, whatever routes they are spread over: each route knows its own only."""

    def taken(method: str) -> bool:
        scope = {**request.scope, "method": method}
        return any(route.matches(scope)[0] == Match.FULL for route in request.app.routes)

    return ", ".join(method for method in METHODS if method == "OPTIONS" or taken(method))


def server_error() -> ProblemError:
    return ProblemError(500, "an error of the server's own; its log has the cause")


def install(app: FastAPI) -> None:
    """Makes every error of every route one of the above."""

    @app.exception_handler(ProblemError)
    async def problem(request: Request, error: ProblemError) -> Response:
        return respond(request, error)

    @app.exception_handler(Refusal)
    async def refusal(request: Request, error: Refusal) -> Response:
        return respond(request, problem_of(error))

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
            if request.method == "OPTIONS" and request.scope["path"] == "*":
                return Response(status_code=204, headers={"Allow": OF_THE_SERVER})
            error.detail = "there is nothing at this address"
        if error.status_code == 405:
            allowed = _methods(request)
            if request.method == "OPTIONS":  # no route's own: what it asks for is what a 405 names
                return Response(status_code=204, headers={"Allow": allowed})
            error.headers = {"Allow": allowed}
            error.detail = f"this address takes {allowed}"
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
