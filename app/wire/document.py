"""The OpenAPI document as a whole: what no single route knows, and the service of it at `/openapi.json`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from fastapi import FastAPI, Request, Response
from pydantic import BaseModel

from app.wire.json import dump
from app.wire.openapi import PROBLEM, Problem, problem_response, reference
from app.wire.schemas import REFERENCE, plain

DESCRIPTION = """\
A text goes in, and what the model would write next comes out: whole, or as server-sent events while it is written.

Errors are problems as RFC 9457 has them, and OpenAI's error objects below `/v1`. What HTTP does not allow is refused by
the connection itself, with a problem at every address: 400, 408, 414, 431, 501 and 505; so is one connection too many,
with 503.

A field that may be left out has the default that its description says, and may be `null` in JSON.
"""
TAGS = [
    {"name": "generate", "description": "What the model writes after a text."},
    {"name": "score", "description": "How likely the model finds a text."},
    {"name": "models", "description": "The models that the service has, and their versions."},
    {"name": "openai", "description": "What clients of OpenAI's completions ask for. Tokens are characters."},
    {"name": "operation", "description": "For whoever keeps the service running."},
]
LICENSE = {"name": "Apache-2.0", "identifier": "Apache-2.0"}
SCHEMES = {
    "apiKey": {"type": "apiKey", "in": "header", "name": "X-API-Key", "description": "One of the service's keys."},
    "bearer": {
        "type": "http",
        "scheme": "bearer",
        "description": "The same key as `Authorization: Bearer KEY`, as OpenAI's clients send it.",
    },
}
# What the connection answers before there is a request that a route could be found for.
OF_THE_CONNECTION = {
    400: "Not a request that HTTP allows",
    408: "The head did not arrive in time",
    414: "The request line is too long; a long text goes into a body",
    431: "The head is too large",
    501: "A transfer coding that is not read",
    503: "Too many connections",
    505: "A version of HTTP that is not spoken",
}


REQUEST_ID = {
    "name": "X-Request-ID",
    "in": "header",
    "description": "A name for this request, which the answer and the log have too: up to 128 of A-Z, a-z, 0-9 and "
    "._:- (without it, or with another, one is made).",
    "schema": {"type": "string"},
}


def install(app: FastAPI, named: Sequence[type[BaseModel]], *, needs_key: bool) -> None:
    """Makes the document of the app's routes and serves it. named: schemas that routes refer to by name."""
    make = app.openapi

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = _finished(make(), named, needs_key)
        return app.openapi_schema

    async def serve(request: Request) -> Response:
        # The framework's own would name the prefix beside `/`, which is no address of ours where there is a prefix.
        prefix = request.scope.get("root_path", "").rstrip("/")
        document = openapi()
        if prefix:
            document = {**document, "servers": [{"url": prefix}]}
        return Response(dump(document), media_type="application/json")

    app.openapi = openapi  # type: ignore[method-assign]
    assert app.openapi_url is not None
    app.router.routes[:] = [route for route in app.routes if getattr(route, "path", None) != app.openapi_url]
    app.add_route(app.openapi_url, serve, include_in_schema=False)


def _finished(document: dict[str, Any], named: Sequence[type[BaseModel]], needs_key: bool) -> dict[str, Any]:
    schemas = document.setdefault("components", {}).setdefault("schemas", {})
    models: list[type[BaseModel]] = [Problem, *named]
    for model in models:
        schema = model.model_json_schema(ref_template=REFERENCE)
        for name, inner in schema.pop("$defs", {}).items():
            schemas.setdefault(name, inner)
        schemas[model.__name__] = schema
    _drop_unused_errors(document)
    for operation in _operations(document):
        _add_connections(operation["responses"])
        parameters = operation.setdefault("parameters", [])
        parameters.append(REQUEST_ID)
        for parameter in parameters:
            plain(parameter["schema"])
    for schema in schemas.values():
        plain(schema)
    document["components"]["securitySchemes"] = SCHEMES
    document["security"] = [*([] if needs_key else [{}]), *({name: []} for name in SCHEMES)]
    document["servers"] = [{"url": "/"}]
    return document


def _operations(document: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for methods in document["paths"].values():
        yield from methods.values()


def _drop_unused_errors(document: dict[str, Any]) -> None:
    """Takes out the 422 that the framework declares for every route with a parameter in its path: none answers it."""
    unused = "HTTPValidationError"
    for operation in _operations(document):
        if unused in str(operation["responses"].get("422")):
            del operation["responses"]["422"]
    for name in (unused, "ValidationError"):
        document["components"]["schemas"].pop(name, None)


def _add_connections(responses: dict[str, Any]) -> None:
    for status, said in OF_THE_CONNECTION.items():
        response = responses.setdefault(str(status), problem_response(status, said))
        if PROBLEM not in response["content"]:
            response["content"][PROBLEM] = {"schema": reference("Problem")}
            response["description"] += f" As a problem: {said[0].lower()}{said[1:]}."
    responses.update({status: responses.pop(status) for status in sorted(responses)})
