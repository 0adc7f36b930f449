from __future__ import annotations

import gzip
import json

import pytest
from fastapi.testclient import TestClient

BODIES = {
    "/generate": {"prefix": "a", "num_chars": 1},
    "/score": {"text": "ab"},
    "/v1/completions": {"model": "tiny", "prompt": "a", "max_tokens": 1},
}
KINDS = [*BODIES]


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
