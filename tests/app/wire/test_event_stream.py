"""Event streams over sockets: who gets one, and that each event is one line for whoever splits lines."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.requests import Request

from app.wire.event_stream import accepts_events, data_line
from app.wire.long_json import Long
from model import checkpoint as checkpoints
from model.text.rules import TextRules
from tests.app.asgi import scope_of
from tests.app.conftest import Server
from tests.models import random_checkpoint

LINE_ENDS = "\n\r\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029"  # of str.splitlines
ODD = "a分\x7f\x80\x84\x86\x9f\xa0\u2027\u202a\ufeff\U0001f600" + LINE_ENDS
RULES = TextRules(newlines="keep")
PREFIX = ODD.replace("\r", "")  # which a prefix's rules make a line feed of


# Without a server.


@given(st.text(st.sampled_from(ODD)), st.integers(0, 9))
def test_an_event_is_one_line_and_its_json_is_the_body(text: str, count: int) -> None:
    body = {text: text, "more": Long(count, lambda start, stop: list(text) * (stop - start))}
    line = b"".join(data_line(body)).decode()
    assert line.splitlines() == [line[:-1]]
    assert line[-1] == "\n"
    assert json.loads(line.removeprefix("data: ")) == {text: text, "more": list(text) * count}


def test_only_what_ends_lines_is_escaped() -> None:
    assert b"".join(data_line({"a": "分\x80é"})) == 'data: {"a":"分\x80é"}\n'.encode()
    assert b"".join(data_line({"a": "\x85\u2028\u2029"})) == b'data: {"a":"\\u0085\\u2028\\u2029"}\n'


ACCEPTS = [
    ("text/event-stream", True),
    ("Text/Event-Stream; charset=utf-8", True),
    ("text/event-stream;q=0.001", True),
    ("*/*, text/event-stream", True),
    ("application/json, text/event-stream", True),
    ("application/json;q=0.5,text/event-stream ; Q=0.5", True),
    ("application/json, text/event-stream;q=0.9", False),
    ("text/event-stream;q=0", False),
    ("text/event-stream; q=0.000", False),
    ("text/event-stream;q=much", False),
    ("text/event-stream;q=nan", False),
    ("text/event-streams", False),
    ("*/*", False),
    ("text/*", False),
    ("application/json", False),
    ("", False),
]


@pytest.mark.parametrize(("accept", "events"), ACCEPTS)
def test_accept_asks_for_events_by_their_name_where_json_is_not_liked_better(accept: str, events: bool) -> None:
    assert accepts_events(Request(scope_of(Accept=accept))) is events


def test_who_sends_no_accept_asks_for_no_events_and_several_lines_are_one() -> None:
    assert not accepts_events(Request(scope_of()))
    scope = scope_of()
    scope["headers"] = [(b"accept", b"application/json"), (b"accept", b"text/event-stream")]
    assert accepts_events(Request(scope))


# Over sockets.


@pytest.fixture(scope="module")
def http(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """A service whose model writes what ends lines."""
    folder: Path = tmp_path_factory.mktemp("odd")
    checkpoints.save(folder / "tiny", random_checkpoint("lstm", 1, 16, characters=ODD, rules=RULES, scale=0.5))
    with Server(folder, folder) as server, httpx.Client(base_url=server.url, timeout=60) as client:
        yield client


def events(http: httpx.Client, method: str, url: str, **asked: Any) -> list[tuple[str, str]]:
    """Name and data of each event, by a client that splits lines as Python does (`httpx`)."""
    found, name, data = [], "message", ""
    with http.stream(method, url, **asked) as response:
        assert response.status_code == 200, response.read()
        assert response.headers["content-type"].startswith("text/event-stream")
        for line in response.iter_lines():
            key, _, value = line.partition(": ")
            if not line:
                found.append((name, data))
                name, data = "message", ""
            elif key == "event":
                name = value
            elif key == "data":
                data += value
            else:
                assert key in ("id", ""), line
    return found


def test_a_client_that_splits_lines_as_python_does_gets_the_text_of_generate(http: httpx.Client) -> None:
    fields: dict[str, Any] = {"prefix": PREFIX, "num_chars": 400, "temperature": 1.0, "seed": 3, "logprobs": 2}
    whole = http.post("/generate", json=fields).json()
    assert set(LINE_ENDS) <= set(whole["generated"])
    *chunks, (last, done) = events(http, "POST", "/generate", json={**fields, "stream": True})
    assert {name for name, _ in chunks} == {"chunk"}
    assert "".join(json.loads(data)["text"] for _, data in chunks) == whole["generated"]
    assert [item for _, data in chunks for item in json.loads(data)["logprobs"]] == whole["logprobs"]
    assert (last, json.loads(done)["text"], json.loads(done)["logprobs"]) == ("done", whole["text"], whole["logprobs"])


def test_a_client_that_splits_lines_as_python_does_gets_the_text_of_openais_route(http: httpx.Client) -> None:
    fields: dict[str, Any] = {
        "model": "tiny",
        "prompt": PREFIX,
        "max_tokens": 400,
        "seed": 3,
        "logprobs": 2,
        "echo": True,
    }
    fields["stop"] = ["nothing\u2028writes this"]  # comes back as unmatchable
    (whole,) = http.post("/v1/completions", json=fields).json()["choices"]
    assert set(LINE_ENDS) <= set(whole["text"][len(PREFIX) :])
    *streamed, done = [data for _, data in events(http, "POST", "/v1/completions", json={**fields, "stream": True})]
    assert done == "[DONE]"
    choices = [choice for data in streamed for choice in json.loads(data)["choices"]]
    assert "".join(choice["text"] for choice in choices) == whole["text"]
    tokens = [token for choice in choices if choice["logprobs"] for token in choice["logprobs"]["tokens"]]
    assert tokens == whole["logprobs"]["tokens"] == list(whole["text"])
    assert json.loads(streamed[-1])["unmatchable_stops"] == fields["stop"]


FORM = {"Content-Type": "application/x-www-form-urlencoded"}


@pytest.mark.parametrize(("accept", "streamed"), [("text/event-stream", True), ("*/*", False), ("text/*", False)])
def test_an_event_source_is_answered_with_events_without_further_fields(
    http: httpx.Client, accept: str, streamed: bool
) -> None:
    headers, query = {"Accept": accept}, "/generate?prefix=a&num_chars=2"
    answers = [
        http.get(query, headers=headers),
        http.head(query, headers=headers),
        http.post(query, headers=headers),
        http.post("/generate", json={"prefix": "a", "num_chars": 2}, headers=headers),
        http.post("/generate", json={"prefix": "a", "num_chars": 2, "stream": None}, headers=headers),
        http.post("/generate", content="prefix=a&num_chars=2", headers={**headers, **FORM}),
    ]
    for answer in answers:
        assert answer.status_code == 200, answer.text
        kind = "text/event-stream" if streamed else "application/json"
        assert answer.headers["content-type"].startswith(kind)
        assert answer.headers["vary"] == "Accept"
    seen = {"Last-Event-ID": "done"}
    assert http.get(query, headers={**headers, **seen}).status_code == (204 if streamed else 200)
    for stream, kind in (("false", "application/json"), ("true", "text/event-stream")):
        for answer in (
            http.get(f"{query}&stream={stream}", headers=headers),
            http.post("/generate", json={"prefix": "a", "num_chars": 2, "stream": stream == "true"}, headers=headers),
        ):
            assert answer.headers["content-type"].startswith(kind)
            assert "vary" not in answer.headers
    refused = http.get("/generate?prefix=%C3%9F", headers=headers)
    assert (refused.status_code, refused.headers["content-type"]) == (422, "application/problem+json")


def test_accept_changes_nothing_under_v1(http: httpx.Client) -> None:
    body = {"model": "tiny", "prompt": "a", "max_tokens": 2}
    answer = http.post("/v1/completions", json=body, headers={"Accept": "text/event-stream"})
    assert answer.headers["content-type"] == "application/json"
    answer = http.post("/v1/completions", json={**body, "stream": True}, headers={"Accept": "application/json"})
    assert answer.headers["content-type"].startswith("text/event-stream")
