"""What the API routes answer, over sockets, stands in the OpenAPI document: the status, the media type, the schema."""

from __future__ import annotations

import contextlib
import json
import socket
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest
import schemathesis
from schemathesis.specs.openapi.schemas import OpenApiSchema
from structlog.testing import capture_logs

from app.main import create_app
from app.serving.registry import Registry
from tests.app.conftest import Server, client_of, service_behind, settings
from tests.app.every_route import Example, examples

PATHS = {"/generate", "/score", "/models", "/models/{name}", "/v1/completions", "/v1/models", "/v1/models/{name}"}
KEY = "the-right-key-of-all"


@pytest.fixture(scope="module")
def routes(models_dir: Path) -> list[Example]:
    found = [example for example in examples(create_app(settings(models_dir))) if example.route in PATHS]
    assert {route.route for route in found} == PATHS
    return found


@pytest.fixture(scope="module")
def http(server: Server) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=server.url, timeout=60) as client:
        yield client


@pytest.fixture(scope="module")
def guarded(models_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """Has a key, looks at three requests of a caller, and waits a second for a body."""
    with (
        Server(
            tmp_path_factory.mktemp("guarded"),
            models_dir,
            NEXTCHAR_API_KEYS=KEY,
            NEXTCHAR_RATE_LIMIT="3/day",
            NEXTCHAR_BODY_TIMEOUT_S="1",
        ) as server,
        httpx.Client(base_url=server.url, timeout=60) as client,
    ):
        yield client


@pytest.fixture(scope="module")
def document(http: httpx.Client) -> dict[str, Any]:
    found: dict[str, Any] = http.get("/openapi.json").json()
    return found


@pytest.fixture(scope="module")
def schema(document: dict[str, Any]) -> OpenApiSchema:
    found: OpenApiSchema = schemathesis.openapi.from_dict(document)
    return found


def send(
    http: httpx.Client, route: Example, content: bytes | None = None, headers: dict[str, str] | None = None
) -> httpx.Response:
    sent = route.body if content is None else content
    kind = {"Content-Type": "application/json"} if sent else {}
    return http.request(route.method, route.target, content=sent, headers={**kind, **(headers or {})})


def made(status: int, headers: dict[str, str], content: bytes) -> httpx.Response:
    """An answer as `httpx` gives it, of what came another way."""
    answer = httpx.Response(status, headers=headers, content=content, request=httpx.Request("POST", "http://x"))
    answer.elapsed = timedelta(0)
    return answer


def check(schema: OpenApiSchema, route: Example, answer: httpx.Response, status: int) -> None:
    assert answer.status_code == status, (route, answer.text)
    operation = schema[route.route][route.method]
    declared = operation.definition.raw["responses"].get(str(status))
    assert declared is not None, f"{route}: {status} is not declared"
    kind = answer.headers.get("content-type", "").partition(";")[0]
    assert kind in declared.get("content", {"": None}), (route, status, kind)
    if kind.endswith("json"):
        assert declared["content"][kind]["schema"], (route, status)
        operation.validate_response(answer)
        is_openais = route.route.startswith("/v1/")
        assert kind == ("application/problem+json" if status >= 400 and not is_openais else "application/json")
        assert status < 400 or not is_openais or set(answer.json()) == {"error"}
    for name in declared.get("headers", {}):
        assert name in answer.headers


def variants(route: Example) -> Iterator[Example]:
    """What else the route answers with 200: everything that an answer may have."""
    yield route
    more: dict[str, list[dict[str, Any]]] = {
        "/generate": [
            {"n": 3, "temperature": 1.0, "logprobs": 2, "return_state": True, "stop": ["€"]},
            {"stream": True, "logprobs": 1},
        ],
        "/score": [{"text": "a"}, {"text": "战争中部队 abc"}],
        "/v1/completions": [
            {"n": 3, "prompt": ["a", "b"], "logprobs": 2, "echo": True, "stop": ["€"]},
            {"echo": True, "max_tokens": 0, "logprobs": 0},
            {"stream": True, "stream_options": {"include_usage": True}},
        ],
    }
    if route.body:
        for fields in more.get(route.route, []):
            yield replace(route, body=json.dumps({**json.loads(route.body), **fields}).encode())


def test_what_is_answered_with_200(http: httpx.Client, schema: OpenApiSchema, routes: list[Example]) -> None:
    kinds = set()
    for route in routes:
        for asked in variants(route):
            answer = send(http, asked)
            check(schema, asked, answer, 200)
            kinds.add((route.route, answer.headers["content-type"].partition(";")[0]))
    assert {path for path, kind in kinds if kind == "text/event-stream"} == {"/generate", "/v1/completions"}


def test_each_object_of_openais_stream_has_the_schema_of_the_answer(
    http: httpx.Client, schema: OpenApiSchema, routes: list[Example]
) -> None:
    (route,) = [route for route in routes if route.route == "/v1/completions"]
    fields = {"stream": True, "stream_options": {"include_usage": True}, "logprobs": 1, "echo": True}
    streamed = send(http, route, json.dumps({**json.loads(route.body), **fields}).encode())
    *objects, done = [line.removeprefix("data: ") for line in streamed.text.split("\n") if line]
    assert done == "[DONE]"
    assert objects
    for data in objects:
        check(schema, route, made(200, {"Content-Type": "application/json"}, data.encode()), 200)


def test_what_a_stream_has_left_behind_done_is_204(
    http: httpx.Client, schema: OpenApiSchema, routes: list[Example]
) -> None:
    for route in routes:
        if route.route == "/generate":
            asked = replace(route, target=route.target + ("&" if "?" in route.target else "?") + "stream=true")
            check(schema, asked, send(http, asked, headers={"Last-Event-ID": "done"}), 204)


def test_what_is_refused(http: httpx.Client, schema: OpenApiSchema, routes: list[Example]) -> None:
    for route in routes:
        check(schema, route, send(http, route, headers={"Origin": "http://elsewhere.example"}), 403)
        check(schema, route, send(http, route, headers={"Host": "elsewhere.example"}), 421)
        is_openais = route.route.startswith("/v1/")
        if route.body:
            assert "requestBody" in schema[route.route][route.method].definition.raw
            nobody = json.dumps({**json.loads(route.body), "model": "nobody"}).encode()
            check(schema, route, send(http, route, nobody), 404)
            check(schema, route, send(http, route, b"{"), 400 if is_openais else 422)
            check(schema, route, send(http, route, b" " * 1_100_000), 400 if is_openais else 413)
            check(schema, route, send(http, route, headers={"Content-Encoding": "gzip"}), 415)
        if "{name}" in route.route:
            missing = replace(route, target=route.target.replace("tiny", "nobody"))
            check(schema, missing, send(http, missing), 404)
        if route.route == "/generate" and not route.body:
            wrong = replace(route, target="/generate?prefix=a&stream=true&model=nobody")
            check(schema, wrong, send(http, wrong), 404)
            wrong = replace(route, target="/generate?prefix=a&num_chars=0")
            check(schema, wrong, send(http, wrong), 422)
            other = {"Last-Event-ID": f"1-greedy-{'0' * 16}"}
            wrong = replace(route, target="/generate?prefix=a&stream=true")
            check(schema, wrong, send(http, wrong, headers=other), 409)


def test_who_has_no_key_or_asks_too_often_or_sends_too_slowly(
    guarded: httpx.Client, schema: OpenApiSchema, routes: list[Example]
) -> None:
    for route in routes:
        check(schema, route, send(guarded, route), 401)
    slow = [route for route in routes if route.body]
    assert len(slow) == 3
    for route, answer in zip(slow, stalled(guarded, slow), strict=True):
        check(schema, route, answer, 408)
    for route in routes:
        check(schema, route, send(guarded, route, headers={"Authorization": f"Bearer {KEY}"}), 429)


def stalled(http: httpx.Client, routes: list[Example]) -> Iterator[httpx.Response]:
    """The answers to requests whose bodies end too early; all wait at once."""
    with contextlib.ExitStack() as stack:
        opened = []
        for route in routes:
            address = (http.base_url.host, http.base_url.port or 80)
            connection = stack.enter_context(socket.create_connection(address, timeout=60))
            connection.sendall(route.raw(f"Authorization: Bearer {KEY}", "Connection: close")[:-1])
            opened.append(connection)
        for connection in opened:
            head, _, content = b"".join(iter(partial(connection.recv, 65536), b"")).partition(b"\r\n\r\n")
            status, *lines = head.decode().split("\r\n")
            headers = dict(line.split(": ", 1) for line in lines)
            yield made(int(status.split()[1]), headers, content)


@pytest.mark.parametrize("status", [500, 503])
def test_what_goes_wrong_behind_a_route(
    models_dir: Path, schema: OpenApiSchema, routes: list[Example], monkeypatch: pytest.MonkeyPatch, status: int
) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError

    with client_of(models_dir) as client, capture_logs(), monkeypatch.context() as patch:
        if status == 503:
            service_behind(client).begin_draining()
        else:
            for name in ("get", "find", "names", "served"):
                patch.setattr(Registry, name, broken)
        for route in routes:
            kind = {"Content-Type": "application/json"} if route.body else {}
            answer = client.request(route.method, route.target, content=route.body, headers=kind)
            check(schema, route, made(answer.status_code, dict(answer.headers), answer.content), status)


def test_no_operation_declares_the_frameworks_own_errors(document: dict[str, Any]) -> None:
    assert "HTTPValidationError" not in json.dumps(document)
    for path in PATHS:
        for operation in document["paths"][path].values():
            named = {str(content) for status, answer in operation["responses"].items() if status >= "400"
                     for content in answer["content"].items()}  # fmt: skip
            assert len(named) == 1, "one shape of error"
            assert ("OpenAIErrorBody" in named.pop()) == path.startswith("/v1/")
