"""What the routes of the OpenAPI document answer, over sockets, stands in it: status, media type and schema."""

from __future__ import annotations

import contextlib
import copy
import json
import socket
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import jsonschema_rs
import pytest
import schemathesis
from schemathesis.specs.openapi.schemas import OpenApiSchema
from structlog.testing import capture_logs

from app.main import create_app
from app.middleware.draining import ALWAYS
from app.middleware.guard import OPEN_PATHS
from app.serving.registry import Registry
from app.wire.schemas import parts
from tests.app.conftest import Server, client_of, service_behind, settings
from tests.app.every_route import Example, examples

PROBLEM = "application/problem+json"
MAX_CONNECTIONS = 40
KEY = "the-right-key-of-all"


@pytest.fixture(scope="module")
def routes(models_dir: Path) -> list[Example]:
    app = create_app(settings(models_dir))
    documented = {(method.upper(), path) for path, methods in app.openapi()["paths"].items() for method in methods}
    found = [example for example in examples(app) if (example.method, example.route) in documented]
    assert len(found) == len(documented) > 10
    return found


@pytest.fixture(scope="module")
def http(server: Server) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=server.url, timeout=60) as client:
        yield client


@pytest.fixture(scope="module")
def guarded(models_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """Has a key, takes three requests of a caller and few connections, waits a second for a head and for a body."""
    with (
        Server(
            tmp_path_factory.mktemp("guarded"),
            models_dir,
            NEXTCHAR_API_KEYS=KEY,
            NEXTCHAR_RATE_LIMIT="3/day",
            NEXTCHAR_HEAD_TIMEOUT_S="1",
            NEXTCHAR_BODY_TIMEOUT_S="1",
            NEXTCHAR_MAX_CONNECTIONS=str(MAX_CONNECTIONS),
        ) as server,
        httpx.Client(base_url=server.url, timeout=60) as client,
    ):
        yield client


@pytest.fixture(scope="module")
def document(http: httpx.Client) -> dict[str, Any]:
    """With every object closed: a field of an answer that has no schema is found."""
    found: dict[str, Any] = copy.deepcopy(http.get("/openapi.json").json())
    for named in found["components"]["schemas"].values():
        for part in parts(named):
            if "properties" in part:
                part.setdefault("additionalProperties", False)
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
        is_readiness = (route.route, status) == ("/readyz", 503)
        assert kind == (PROBLEM if status >= 400 and not is_openais and not is_readiness else "application/json")
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
    elif route.route == "/generate":
        yield replace(route, target=route.target + "&stream=true&n=2&temperature=1&logprobs=1&return_state=true")


def test_what_is_answered_with_200(http: httpx.Client, schema: OpenApiSchema, routes: list[Example]) -> None:
    kinds = set()
    for route in routes:
        for asked in variants(route):
            answer = send(http, asked)
            check(schema, asked, answer, 200)
            kinds.add((str(route), answer.headers["content-type"].partition(";")[0]))
    figures = next(route for route in routes if route.route == "/metrics")
    check(schema, figures, send(http, figures, headers={"Accept": "application/openmetrics-text"}), 200)
    streamed = {route for route, kind in kinds if kind == "text/event-stream"}
    assert streamed == {"GET /generate", "POST /generate", "POST /v1/completions"}


def is_as(document: dict[str, Any], name: str, data: str) -> Any:
    """The JSON of an event, which has the schema of that name."""
    body = json.loads(data)
    named = {"$ref": f"#/components/schemas/{name}", "components": document["components"]}
    assert list(jsonschema_rs.Draft202012Validator(named).iter_errors(body)) == []
    return body


def events(answer: httpx.Response) -> list[tuple[str, str]]:
    """Name and data of each event."""
    found = [dict(line.split(": ", 1) for line in event.split("\n")) for event in answer.text.split("\n\n") if event]
    return [(event["event"], event["data"]) for event in found]


def test_each_event_of_our_stream_has_the_schema_that_its_name_says(
    http: httpx.Client, document: dict[str, Any], routes: list[Example]
) -> None:
    (route,) = [route for route in routes if str(route) == "POST /generate"]
    asked = {"prefix": "a", "num_chars": 9, "n": 2, "logprobs": 2, "temperature": 1, "stream": True, "stop": ["€"]}
    *chunks, done = events(send(http, route, json.dumps(asked).encode()))
    assert {name for name, _ in chunks} == {"chunk"}
    for _, data in chunks:
        assert "logprobs" in is_as(document, "GenerateChunk", data)
    assert done[0] == "done"
    assert "unmatchable_stops" in is_as(document, "GenerateAnswer", done[1])

    whole = send(http, route, b'{"prefix": "a", "num_chars": 9, "stream": true}')
    last = max(line for line in whole.text.split("\n") if line.startswith("id: 9-")).removeprefix("id: ")
    shorter = {"prefix": "a", "num_chars": 9, "stream": True, "stop": [json.loads(events(whole)[0][1])["text"][0]]}
    stopped = send(http, route, json.dumps(shorter).encode(), {"Last-Event-ID": last})
    ((name, data),) = events(stopped)
    assert name == "error"
    assert is_as(document, "Problem", data)["status"] == 422


def test_each_object_of_openais_stream_has_its_schema(
    http: httpx.Client, document: dict[str, Any], routes: list[Example]
) -> None:
    (route,) = [route for route in routes if route.route == "/v1/completions"]
    fields = {"stream": True, "stream_options": {"include_usage": True}, "logprobs": 1, "echo": True}
    streamed = send(http, route, json.dumps({**json.loads(route.body), **fields}).encode())
    *objects, done = [line.removeprefix("data: ") for line in streamed.text.split("\n") if line]
    assert done == "[DONE]"
    assert objects
    for data in objects:
        is_as(document, "CompletionChunk", data)


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
        is_probe, is_openais = route.route in OPEN_PATHS, route.route.startswith("/v1/")
        check(schema, route, send(http, route, headers={"Host": "elsewhere.example"}), 200 if is_probe else 421)
        check(schema, route, send(http, route, b" " * 1_100_000), 400 if is_openais else 413)
        if route.body:
            assert "requestBody" in schema[route.route][route.method].definition.raw
            nobody = json.dumps({**json.loads(route.body), "model": "nobody"}).encode()
            check(schema, route, send(http, route, nobody), 404)
            check(schema, route, send(http, route, b"{"), 400 if is_openais else 422)
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
        check(schema, route, send(guarded, route), 200 if route.route in OPEN_PATHS else 401)
    slow = [route for route in routes if route.body]
    assert len(slow) == 3
    bodies = [route.raw(f"Authorization: Bearer {KEY}", "Connection: close")[:-1] for route in slow]
    for route, answer in zip(slow, told(guarded, bodies), strict=True):
        check(schema, route, answer, 408)
    for route in routes:
        answer = send(guarded, route, headers={"Authorization": f"Bearer {KEY}"})
        check(schema, route, answer, 200 if route.route in OPEN_PATHS else 429)


def told(http: httpx.Client, requests: list[bytes]) -> Iterator[httpx.Response]:
    """The answers to what is sent as it stands, behind which the connection is closed; all wait at once."""
    with contextlib.ExitStack() as stack:
        opened = [stack.enter_context(connected(http)) for _ in requests]
        for connection, request in zip(opened, requests, strict=True):
            connection.sendall(request)
        for connection in opened:
            head, _, content = b"".join(iter(partial(connection.recv, 65536), b"")).partition(b"\r\n\r\n")
            status, *lines = head.decode().split("\r\n")
            headers = dict(line.split(": ", 1) for line in lines)
            yield made(int(status.split()[1]), headers, content)


def connected(http: httpx.Client) -> socket.socket:
    return socket.create_connection((http.base_url.host, http.base_url.port or 80), timeout=60)


def check_problem(schema: OpenApiSchema, route: Example, answer: httpx.Response, status: int) -> None:
    """Of the connection, which knows of no other shape than a problem."""
    assert answer.status_code == status, (route, answer.text)
    assert answer.headers["content-type"] == PROBLEM
    operation = schema[route.route][route.method]
    assert PROBLEM in operation.definition.raw["responses"][str(status)]["content"], (route, status)
    operation.validate_response(answer)


def test_what_the_connection_refuses(http: httpx.Client, schema: OpenApiSchema, routes: list[Example]) -> None:
    for route in routes:
        long = replace(route, target=route.target + "?" + "a" * 40_000)
        refused = {
            400: route.raw("Host: b"),
            414: long.raw(),
            431: route.raw(f"X-Long: {'a' * 40_000}"),
            501: route.raw("Transfer-Encoding: gzip, chunked", body=b""),
            505: route.raw(version="1.2"),
        }
        for status, answer in zip(refused, told(http, list(refused.values())), strict=True):
            check_problem(schema, route, answer, status)


def test_what_the_connection_does_not_wait_for_or_has_no_place_for(
    guarded: httpx.Client, schema: OpenApiSchema, routes: list[Example]
) -> None:
    heads = [route.raw().partition(b"\r\n\r\n")[0] for route in routes]
    for route, answer in zip(routes, told(guarded, heads), strict=True):
        check_problem(schema, route, answer, 408)
    with contextlib.ExitStack() as stack:
        for _ in range(MAX_CONNECTIONS):
            stack.enter_context(connected(guarded))
        (answer,) = told(guarded, [b""])  # a connection too many is not read
        for route in routes:
            check_problem(schema, route, answer, 503)


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
        asks_nothing = {"/healthz", "/metrics"}
        assert asks_nothing < ALWAYS
        for route in routes:
            kind = {"Content-Type": "application/json"} if route.body else {}
            answer = client.request(route.method, route.target, content=route.body, headers=kind)
            expected = 200 if route.route in asks_nothing else status
            check(schema, route, made(answer.status_code, dict(answer.headers), answer.content), expected)


def test_no_operation_declares_the_frameworks_own_errors(document: dict[str, Any]) -> None:
    assert "HTTPValidationError" not in json.dumps(document)
    for path, methods in document["paths"].items():
        for operation in methods.values():
            for status, answer in operation["responses"].items():
                kinds = set(answer.get("content", {})) if status >= "400" else {PROBLEM}
                both = path.startswith("/v1/") or (path, status) == ("/readyz", "503")
                assert kinds == {PROBLEM} or both, (path, status)
                assert kinds <= {PROBLEM, "application/json"}
