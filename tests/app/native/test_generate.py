"""How the fields of a request are read and handed on. What is written is tested in tests/app/test_generate.py."""

from __future__ import annotations

import json
from typing import Any

import pytest
from fastapi.testclient import TestClient
from starlette.datastructures import Headers
from starlette.requests import Request

from app.native import generate as route
from app.native.fields import GenerateBody, GenerateQuery
from app.native.generate import head, merge, read_body, read_query
from app.wire.body_kind import FORM, JSON
from app.wire.problems import ProblemError
from tests.app.asgi import scope_of


def asked(query: bytes = b"", kind: str = JSON) -> Request:
    return Request({**scope_of("POST", "/generate", Content_Type=kind), "query_string": query})


def test_a_query_and_a_form_carry_text_and_json_carries_numbers() -> None:
    raw = b"prefix=a&num_chars=10&stop=x&stop=y"
    expected = {"prefix": "a", "num_chars": 10, "stop": ["x", "y"]}
    for read in (read_query(asked(raw)), read_body(asked(kind=FORM), raw)):
        assert isinstance(read, GenerateQuery)
        assert read.model_dump(exclude_unset=True) == expected
    body = read_body(asked(), b'{"prefix": "a", "num_chars": 10, "stop": ["x", "y"]}')
    assert isinstance(body, GenerateBody)
    assert body.model_dump(exclude_unset=True) == expected
    for kind, wrong in ((JSON, b'{"num_chars": "10"}'), (JSON, raw), (FORM, b"num_chars=ten")):
        with pytest.raises(ProblemError, match="422"):
            read_body(asked(kind=kind), wrong)


def test_a_field_comes_from_the_one_place_where_it_was_given() -> None:
    query, body = GenerateQuery(prefix="a", n=2), GenerateBody(num_chars=7, temperature=0.5)
    both = merge(query, body)
    assert both.model_dump(exclude_unset=True) == {"prefix": "a", "n": 2, "num_chars": 7, "temperature": 0.5}
    assert merge(GenerateQuery(), body) == body
    assert body.model_dump(exclude_unset=True) == {"num_chars": 7, "temperature": 0.5}


def test_a_field_given_twice_is_named_even_where_both_say_the_same() -> None:
    with pytest.raises(ProblemError) as caught:
        merge(GenerateQuery(prefix="a", n=2), GenerateBody(prefix="a", n=2))
    assert caught.value.status == 422
    assert caught.value.errors[0]["field"] == "n"  # the first by name
    assert "query" in caught.value.detail
    assert "body" in caught.value.detail


def test_a_head_has_the_headers_without_the_length() -> None:
    answer = head("text/x-odd", {"X-Kept": "so"})
    headers = Headers(raw=answer.raw_headers)
    assert (answer.status_code, answer.body) == (200, b"")
    assert headers["content-type"].startswith("text/x-odd")
    assert headers["x-kept"] == "so"
    assert "content-length" not in headers


def test_where_a_body_is_empty_the_query_alone_counts(client: TestClient) -> None:
    params = {"prefix": "分开", "num_chars": 9}
    whole = client.get("/generate", params=params).json()["text"]
    assert len(whole) == 2 + 9
    assert client.post("/generate", params=params).json()["text"] == whole
    mixed = client.post("/generate", params={"num_chars": 9}, json={"prefix": "分开"})
    assert mixed.json()["text"] == whole
    form = client.post("/generate", params={"num_chars": 9}, data={"prefix": "分开"})
    assert form.json()["text"] == whole


def stream(client: TestClient, last: str | None = None, **fields: Any) -> list[tuple[str, str]]:
    """Id and data of each event."""
    headers = {} if last is None else {"Last-Event-ID": last}
    answer = client.get("/generate", params={"stream": True, **fields}, headers=headers)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"].startswith("text/event-stream")
    blocks = [dict(line.split(": ", 1) for line in block.split("\n")) for block in answer.text.strip().split("\n\n")]
    return [(block.get("id", ""), block["data"]) for block in blocks]


def test_a_stream_goes_on_behind_the_event_that_is_named(client: TestClient) -> None:
    fields = {"prefix": "分开", "num_chars": 200, "temperature": 1.0}  # without a seed: the id carries the drawn one
    *chunks, (_, done) = stream(client, **fields)
    texts = [json.loads(data)["text"] for _, data in chunks]
    assert "".join(texts) == json.loads(done)["generated"]
    *rest, (_, again) = stream(client, last=chunks[0][0], **fields)
    assert "".join(json.loads(data)["text"] for _, data in rest) == "".join(texts[1:])
    assert json.loads(again)["text"] == json.loads(done)["text"]


def test_an_event_id_means_nothing_where_nothing_is_streamed(client: TestClient) -> None:
    for last in ("done", "not an id"):
        answer = client.get("/generate", params={"prefix": "a"}, headers={"Last-Event-ID": last})
        assert answer.status_code == 200
    for method in ("GET", "HEAD", "POST"):
        params = {"prefix": "a", "stream": True}
        ended = client.request(method, "/generate", params=params, headers={"Last-Event-ID": "done"})
        assert (ended.status_code, ended.content) == (204, b"")
        wrong = client.request(method, "/generate", params=params, headers={"Last-Event-ID": "not an id"})
        assert wrong.status_code == 422
        assert client.request(method, "/generate", params=params, headers={"Last-Event-ID": ""}).status_code == 200


@pytest.mark.parametrize("fields", [{}, {"stream": True}])
def test_head_tells_type_and_headers_and_writes_nothing(
    client: TestClient, monkeypatch: pytest.MonkeyPatch, fields: dict[str, Any]
) -> None:
    params = {"prefix": "分开", **fields}
    got = client.get("/generate", params=params)
    monkeypatch.setattr(route, "submit", lambda _: pytest.fail("a text for nobody"))
    told = client.head("/generate", params=params)
    assert (told.status_code, told.content) == (200, b"")
    own = {"x-request-id", "content-length", "date", "transfer-encoding"}
    assert {k: v for k, v in told.headers.items() if k not in own} == {
        k: v for k, v in got.headers.items() if k not in own
    }


def test_the_model_that_is_named_answers_and_a_caller_is_told_apart(client: TestClient) -> None:
    texts = {
        name: client.get("/generate", params={"prefix": "分开", "num_chars": 40, "model": name}).json()
        for name in ("tiny", "other")
    }
    assert {name: answer["model"] for name, answer in texts.items()} == {"tiny": "tiny", "other": "other"}
    assert texts["tiny"]["text"] != texts["other"]["text"]
    assert client.get("/generate", params={"prefix": "分开", "model": "none"}).status_code == 404
