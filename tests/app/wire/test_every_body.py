"""Every route that takes a body reads it alike: asked over sockets, of each such route that the app has."""

from __future__ import annotations

import codecs
import gzip
import json
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import httpx
import pytest

from app.main import create_app
from app.wire.body_kind import FORM, JSON
from tests.app.conftest import Server, settings
from tests.app.every_route import Example, examples


@pytest.fixture(scope="module")
def http(server: Server) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=server.url, timeout=60) as client:
        yield client


@pytest.fixture(scope="module")
def routes(models_dir: Path) -> list[Example]:
    found = [example for example in examples(create_app(settings(models_dir))) if example.body]
    assert {route.route for route in found} == {"/generate", "/score", "/v1/completions"}
    return found


@pytest.fixture(scope="module")
def schemas(http: httpx.Client) -> dict[str, dict[str, Any]]:
    """Of the JSON body of each route, by its pattern."""
    document = http.get("/openapi.json").json()
    named = {path: about["post"]["requestBody"]["content"][JSON]["schema"]["$ref"]
             for path, about in document["paths"].items() if "post" in about}  # fmt: skip
    return {path: document["components"]["schemas"][ref.rsplit("/", 1)[1]] for path, ref in named.items()}


def post(http: httpx.Client, route: Example, content: bytes, kind: str | None = JSON, **headers: str) -> httpx.Response:
    return http.post(route.target, content=content, headers={**({"Content-Type": kind} if kind else {}), **headers})


def told(answer: httpx.Response) -> tuple[int, str, str | None]:
    """Status (422 stands for OpenAI's 400), what is said and the first field that is named."""
    body = answer.json()
    if "error" in body:
        status = 422 if answer.status_code == 400 else answer.status_code
        return status, body["error"]["message"], body["error"]["param"]
    return answer.status_code, body["detail"], body["errors"][0]["field"] if "errors" in body else None


@pytest.mark.parametrize(
    ("encode", "headers", "status", "says"),
    [
        (lambda raw: codecs.BOM_UTF8 + raw, {}, 200, ""),
        (lambda raw: raw, {"kind": "application/vnd.ours+json; charset=utf-8"}, 200, ""),
        (lambda raw: raw.decode().encode("utf-16"), {}, 415, "UTF-16"),
        (lambda raw: raw.decode().encode("utf-16-le"), {}, 415, "UTF-16"),
        (lambda raw: raw.decode().encode("utf-16-be"), {}, 415, "UTF-16"),
        (lambda raw: raw.decode().encode("utf-32"), {}, 415, "UTF-32"),
        (lambda raw: raw.decode().encode("utf-16"), {"kind": "application/json; charset=utf-16"}, 415, "utf-16"),
        (gzip.compress, {"Content-Encoding": "gzip"}, 415, "'gzip'"),
        (gzip.compress, {}, 415, "gzip"),
        (lambda raw: raw, {"kind": None}, 415, "Content-Type"),
        (lambda raw: raw, {"kind": "text/plain"}, 415, "'text/plain'"),
        (lambda raw: raw, {"kind": "multipart/form-data; boundary=x"}, 415, "multipart/form-data"),
        (lambda raw: raw, {"kind": FORM}, 415, JSON),
        (lambda raw: raw.replace(b"a", b"\xb7\xd6"), {}, 422, "not UTF-8"),
        (lambda raw: raw[:-1], {}, 422, "body: is not JSON"),
        (lambda raw: b"\xff\x00\x80", {}, 422, "not UTF-8"),
        (lambda raw: b"[1]", {}, 422, "body: a list"),
        (lambda raw: b"null", {}, 422, "body: null"),
        (lambda raw: b'{"a":' * 100_000, {}, 422, "body: is nested too deep"),
        (lambda raw: b"[" * 900_000, {}, 422, "body: is nested too deep"),
        (lambda raw: b'{"n":' + b"1" * 5000 + b"}", {}, 422, "body: has a number of too many digits"),
    ],
)  # fmt: skip
def test_a_body_is_read_or_refused_alike_on_every_route(
    http: httpx.Client, routes: list[Example], encode: Any, headers: dict[str, Any], status: int, says: str
) -> None:
    for route in routes:
        answer = post(http, route, encode(route.body), **headers)
        if status == 200:
            assert answer.status_code == 200, (route, answer.text)
            continue
        found, sentence, _ = told(answer)
        assert (found, says in sentence) == (status, True), (route, answer.text)
        assert "b'" not in sentence
        assert "\\x" not in sentence
        is_openais = route.route.startswith("/v1/")
        assert answer.headers["content-type"] == ("application/json" if is_openais else "application/problem+json")


def test_a_form_is_read_where_the_fields_allow_it_with_or_without_a_mark(
    http: httpx.Client, routes: list[Example]
) -> None:
    for route in routes:
        form = urlencode(json.loads(route.body)).encode()
        for content in (form, codecs.BOM_UTF8 + form):
            answer = post(http, route, content, FORM)
            assert answer.status_code == (415 if route.route == "/v1/completions" else 200), (route, answer.text)
        for encoding in ("utf-16", "utf-16-le"):
            assert post(http, route, form.decode().encode(encoding), FORM).status_code == 415


def without_times(answer: httpx.Response) -> Any:
    body = answer.json()
    for name in ("timing", "id", "created"):
        body.pop(name, None)
    return body


def test_null_for_a_field_that_may_be_left_out_is_its_default(
    http: httpx.Client, routes: list[Example], schemas: dict[str, dict[str, Any]]
) -> None:
    for route in routes:
        given = json.loads(route.body)
        given.update({"temperature": 0} if route.route == "/v1/completions" else {})
        optional = schemas[route.route]["properties"].keys() - given.keys()
        assert optional
        plain = post(http, route, json.dumps(given).encode())
        for nothing in [*([name] for name in optional), optional]:
            answer = post(http, route, json.dumps({**given, **dict.fromkeys(nothing)}).encode())
            assert answer.status_code == 200, (route, nothing, answer.text)
            assert without_times(answer) == without_times(plain), (route, nothing)
        assert told(post(http, route, json.dumps({**given, "nme": None}).encode()))[::2] == (422, "nme")


def test_null_for_a_field_that_is_required_is_none_at_all(
    http: httpx.Client, routes: list[Example], schemas: dict[str, dict[str, Any]]
) -> None:
    for route in routes:
        given = json.loads(route.body)
        required = schemas[route.route].get("required", ["prefix"])  # or `state`, of /generate
        for name in required:
            status, sentence, field = told(post(http, route, json.dumps({**given, name: None}).encode()))
            assert (status, field) == (422, name)
            assert f"{name}: is missing" in sentence


def test_one_string_stands_for_a_list_of_one(http: httpx.Client, routes: list[Example]) -> None:
    for route in routes:
        if route.route == "/score":
            continue
        given = {**json.loads(route.body), "temperature": 0}
        whole, listed = (post(http, route, json.dumps({**given, "stop": s}).encode()) for s in ("b", ["b"]))
        assert whole.status_code == 200, whole.text
        assert without_times(whole) == without_times(listed)


def test_a_key_that_stands_twice_is_refused_by_its_name_also_inside_an_object(
    http: httpx.Client, routes: list[Example]
) -> None:
    for route in routes:
        name, *_ = json.loads(route.body)
        doubled = route.body[:-1] + f', "{name}": "b"}}'.encode()
        assert told(post(http, route, doubled)) == (422, f"{name}: is given more than once", name)
        inside = route.body[:-1] + b', "stream_options": {"include_usage": true, "include_usage": false}}'
        assert told(post(http, route, inside))[::2] == (422, "include_usage")
        escaped = route.body[:-1] + f', "\\u{ord(name[0]):04x}{name[1:]}": "b"}}'.encode()
        assert told(post(http, route, escaped))[::2] == (422, name)
        colons = json.dumps({**json.loads(route.body), name: ""}).encode()
        assert told(post(http, route, colons[:-1] + b', "text:text": 1}'))[0] == 422


def test_half_of_a_surrogate_pair_is_refused_by_the_field_that_has_it(
    http: httpx.Client, routes: list[Example]
) -> None:
    for route in routes:
        given = json.loads(route.body)
        texts = [name for name, value in given.items() if isinstance(value, str)]
        assert texts
        for name in texts:
            for value in ("\ud83d", "a\udc00b", ["\ud83d"], {"\ud83d": 1}):
                status, sentence, field = told(post(http, route, json.dumps({**given, name: value}).encode()))
                assert (status, field) == (422, name)
                assert "lone surrogate, U+D" in sentence
        status, sentence, field = told(post(http, route, json.dumps({**given, "\ud83d": 1}).encode()))
        assert (status, field, "lone surrogate" in sentence) == (422, "U+D83D", True)
        whole = {**given, texts[-1]: "\U0001f600"}  # a pair, which the model has never seen
        assert "lone surrogate" not in post(http, route, json.dumps(whole).encode()).text


@pytest.mark.parametrize(
    ("field", "wrong", "right"),
    [
        ("num_chars", ["1_0", " 5", "5 ", "+5", "5.0", "1e1", "１０", "٣", "0x5", "", "five"], ["5", "05"]),
        ("seed", ["1_0", "-", "--1", "1,000"], ["0", "-0", "7"]),
        ("temperature", ["1_0.5", "inf", "nan", " 1", "1 ", "+1", "0,8", "１", "1e", "."], ["0.8", ".5", "1e-1", "1."]),
        ("return_state", ["maybe", "2", " true", "", "ſ"], ["true", "False", "1", "0", "YES", "no", "on", "off"]),
    ],
)
def test_a_number_in_a_query_or_a_form_is_written_in_ascii_digits(
    http: httpx.Client, field: str, wrong: list[str], right: list[str]
) -> None:
    def answers(value: str) -> list[httpx.Response]:
        pairs = urlencode({"prefix": "a", field: value})
        form = http.post("/generate", content=pairs, headers={"Content-Type": FORM})
        return [http.get(f"/generate?{pairs}"), http.post(f"/generate?{pairs}"), form]

    for value in right:
        assert [answer.status_code for answer in answers(value)] == [200] * 3, value
    for value in wrong:
        for answer in answers(value):
            status, sentence, named = told(answer)
            assert (status, named) == (422, field), (value, answer.text)
            assert sentence.startswith(f"{field}: '{value}' is n")


@pytest.mark.parametrize("value", ["%zz", "%", "%4", "100%", "%ff", "%ED%A0%80", "%c3("])
def test_an_escape_that_stands_for_no_text_is_refused_with_a_sentence(server: Server, value: str) -> None:
    form = f"Content-Type: {FORM}\r\n"
    for route, content in (("GET /generate?prefix=" + value, ""), ("POST /generate", "prefix=" + value),
                           ("POST /score", "text=" + value)):  # fmt: skip
        kind = f"{form}Content-Length: {len(content)}\r\n" if content else ""
        with socket.create_connection(("127.0.0.1", server.port), 60) as connection:
            head = f"{route} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{kind}\r\n"
            connection.sendall((head + content).encode())
            answer = b"".join(iter(lambda: connection.recv(65536), b""))
        assert answer.startswith(b"HTTP/1.1 422 "), answer
        detail = json.loads(answer.partition(b"\r\n\r\n")[2])["detail"]
        assert "is not UTF-8" in detail or "two hexadecimal digits" in detail
