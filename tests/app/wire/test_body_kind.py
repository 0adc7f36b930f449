from __future__ import annotations

import gzip
import json
from typing import Any

import pytest
from fastapi.testclient import TestClient
from starlette.requests import Request

from app.wire.body_kind import FORM, JSON, check, kind_of
from tests.app.asgi import scope_of

BODIES = {
    "/generate": {"prefix": "a", "num_chars": 1},
    "/score": {"text": "ab"},
    "/v1/completions": {"model": "tiny", "prompt": "a", "max_tokens": 1},
}
KINDS = [*BODIES]


def asked(length: str | None = "5", **headers: Any) -> Request:
    if length is not None:
        headers["Content_Length"] = length
    return Request(scope_of("POST", **headers))


@pytest.mark.parametrize(
    ("request_", "read"),
    [
        (asked(Content_Type="application/json"), True),
        (asked(Content_Type="text/plain"), False),
        (asked(), False),
        (asked(length="0"), True),
        (asked(length=None), True),
        (asked(length=None, Transfer_Encoding="chunked"), False),
        (asked(length="0", Transfer_Encoding="chunked"), False),
        (asked(Content_Type="application/json", Content_Encoding=" Identity "), True),
        (asked(Content_Type="application/json", Content_Encoding="gzip"), False),
        (asked(Content_Type='application/json; charset="UTF8"'), True),
        (asked(Content_Type="application/json; charset=latin-1"), False),
        (asked(Content_Type=FORM + ";charset=utf-8"), True),
        (asked(Content_Type="application/xjson"), False),
        (asked(Content_Type="text/vnd.x+json"), False),
        (asked(Content_Type="text/xml"), False),
    ],
)
def test_a_body_is_read_where_there_is_none_or_its_kind_is_read(request_: Request, read: bool) -> None:
    assert (check(request_, (JSON, FORM)) is None) is read


def test_a_refusal_names_what_came_and_what_is_read_in_words_and_in_a_header() -> None:
    unnamed, other = check(asked(), (JSON, FORM)), check(asked(Content_Type="text/x-odd"), (JSON, FORM))
    coded = check(asked(Content_Encoding="x-odd", Content_Type=JSON), (JSON, FORM))
    assert unnamed is not None
    assert other is not None
    assert coded is not None
    for problem in (unnamed, other):
        assert (problem.status, problem.headers) == (415, {"Accept-Post": f"{JSON}, {FORM}"})
        assert f"{JSON} or {FORM}" in problem.detail
    assert unnamed.detail.startswith("Content-Type: is missing")
    assert other.detail.startswith("Content-Type: 'text/x-odd'")
    assert (coded.status, coded.headers) == (415, {"Accept-Encoding": "identity"})
    assert coded.detail.startswith("Content-Encoding: 'x-odd'")


@pytest.mark.parametrize(
    ("given", "kind"),
    [
        ("Application/JSON ; charset=utf-8", JSON),
        ("application/vnd.ours+JSON", JSON),
        ("text/vnd.ours+json", "text/vnd.ours+json"),
        ("application/json+x", "application/json+x"),
        (FORM.upper(), FORM),
        ("Text/CSV", "text/csv"),
        ("", "text/plain"),  # as RFC 2045 has it
        (None, "text/plain"),
    ],
)
def test_a_kind_is_a_media_type_in_small_letters(given: str | None, kind: str) -> None:
    assert kind_of(asked(**({} if given is None else {"Content_Type": given}))) == kind


@pytest.mark.parametrize("path", KINDS)
@pytest.mark.parametrize(
    "kind",
    [
        "application/json",
        "Application/JSON; charset=UTF-8",
        "application/vnd.ours+json",
        'application/json;charset="utf-8"',
    ],
)
def test_json_by_any_of_its_names_is_read(client: TestClient, path: str, kind: str) -> None:
    answer = client.post(path, content=json.dumps(BODIES[path]), headers={"Content-Type": kind})
    assert answer.status_code == 200, answer.text


@pytest.mark.parametrize("path", KINDS)
@pytest.mark.parametrize(
    "kind",
    ["text/plain", "text/plain;charset=UTF-8", "", "json", "application/xml", "multipart/form-data; boundary=x",
     "text/json", "application/json; charset=gbk"],
)  # fmt: skip
def test_a_body_that_is_named_something_else_is_415_and_says_what_is_read(
    client: TestClient, path: str, kind: str
) -> None:
    answer = client.post(path, content=json.dumps(BODIES[path]), headers={"Content-Type": kind} if kind else {})
    assert answer.status_code == 415, answer.text
    assert "application/json" in answer.text
    assert answer.headers["accept-post"].startswith("application/json")


def test_openais_routes_read_no_forms(client: TestClient) -> None:
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    assert client.post("/v1/completions", content=b"model=tiny&prompt=a", headers=form).status_code == 415


@pytest.mark.parametrize("path", KINDS)
@pytest.mark.parametrize("coding", ["gzip", "br", "x-unknown", "gzip, identity"])
def test_a_compressed_body_is_415_and_says_how_to_send_it(client: TestClient, path: str, coding: str) -> None:
    headers = {"Content-Type": "application/json", "Content-Encoding": coding}
    answer = client.post(path, content=gzip.compress(json.dumps(BODIES[path]).encode()), headers=headers)
    assert answer.status_code == 415
    assert answer.headers["accept-encoding"] == "identity"
    headers["Content-Encoding"] = "identity"
    assert client.post(path, content=json.dumps(BODIES[path]), headers=headers).status_code == 200


def test_without_a_body_nothing_needs_a_name(client: TestClient) -> None:
    assert client.post("/generate", params={"prefix": "a"}, headers={"Content-Type": "text/plain"}).status_code == 200


def test_every_route_that_reads_a_body_is_looked_at(client: TestClient) -> None:
    document = client.get("/openapi.json").json()
    assert {path for path, methods in document["paths"].items() if "post" in methods} == set(KINDS)
    for path in KINDS:
        assert client.post(path, content=b"{}", headers={"Content-Type": "text/plain"}).status_code == 415
