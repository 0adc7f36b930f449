"""How the fields of a request are read and handed on, and over a model what comes of it."""

from __future__ import annotations

import asyncio
import codecs
import json
import threading
import time
from pathlib import Path
from typing import Any
from unittest import mock
from urllib.parse import quote

import pytest
from fastapi.testclient import TestClient
from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.types import Message

from app.native import generate as route
from app.native.fields import GenerateBody, GenerateFields, GenerateQuery
from app.native.generate import head, merge, read_body, read_query
from app.wire.body_kind import FORM, JSON
from app.wire.problems import ProblemError
from model import checkpoint as checkpoints
from tests.app.asgi import scope_of
from tests.app.conftest import answer_of, client_of, eventually, service_behind
from tests.reference import predict_rnn


def asked(query: bytes = b"", kind: str = JSON, body: bytes = b"") -> Request:
    scope = scope_of("POST", "/generate", Content_Type=kind, Content_Length=str(len(body)))

    async def receive() -> Message:
        return {"type": "http.request", "body": body, "more_body": False}

    return Request({**scope, "query_string": query}, receive)


def body_of(raw: bytes, kind: str = JSON) -> GenerateFields:
    return asyncio.run(read_body(asked(kind=kind, body=raw)))


def test_a_query_and_a_form_carry_text_and_json_carries_numbers() -> None:
    raw = b"prefix=a&num_chars=10&stop=x&stop=y"
    expected = {"prefix": "a", "num_chars": 10, "stop": ["x", "y"]}
    for read in (read_query(asked(raw)), body_of(raw, FORM)):
        assert isinstance(read, GenerateQuery)
        assert read.model_dump(exclude_unset=True) == expected
    body = body_of(b'{"prefix": "a", "num_chars": 10, "stop": ["x", "y"]}')
    assert isinstance(body, GenerateBody)
    assert body.model_dump(exclude_unset=True) == expected
    for kind, wrong in ((JSON, b'{"num_chars": "10"}'), (JSON, raw), (FORM, b"num_chars=ten")):
        with pytest.raises(ProblemError, match="422"):
            body_of(wrong, kind)


def test_a_field_comes_from_the_one_place_where_it_was_given() -> None:
    query, body = GenerateQuery(prefix="a", n=2), GenerateBody(num_chars=7, temperature=0.5)
    both = merge(query, body)
    assert both.model_dump(exclude_unset=True) == {"prefix": "a", "n": 2, "num_chars": 7, "temperature": 0.5}
    assert merge(GenerateQuery(), body) == body
    assert body.model_dump(exclude_unset=True) == {"num_chars": 7, "temperature": 0.5}


def test_a_field_that_has_one_value_in_both_places_is_given_once() -> None:
    query = read_query(asked(b"prefix=a&n=2&temperature=5e-1&stop=b&stream=yes"))
    body = body_of(b'{"prefix": "a", "n": 2, "temperature": 0.5, "stop": "b", "stream": true, "seed": 3}')
    fields = {"prefix": "a", "n": 2, "temperature": 0.5, "stop": ["b"], "stream": True, "seed": 3}
    assert merge(query, body).model_dump(exclude_unset=True) == fields


def test_fields_that_have_two_values_are_named_with_both() -> None:
    with pytest.raises(ProblemError) as caught:
        merge(
            GenerateQuery(prefix="a" * 1000, n=2, seed=1, stream=True),
            GenerateBody(prefix="b" * 1000, n=3, seed=1, stream=False),
        )
    assert caught.value.status == 422
    n, prefix, stream = caught.value.errors
    assert n == {"field": "n", "message": "is 2 in the query and 3 in the body; give it once"}
    assert (prefix["field"], len(prefix["message"]) < 200) == ("prefix", True)
    assert stream["message"] == "is True in the query and False in the body; give it once"
    assert caught.value.detail.startswith("n: is 2 in the query and 3 in the body; give it once; prefix: is 'aaa")


def test_a_head_has_the_headers_without_the_length() -> None:
    answer = head("text/x-odd", {"X-Kept": "so"})
    headers = Headers(raw=answer.raw_headers)
    assert (answer.status_code, answer.body) == (200, b"")
    assert headers["content-type"].startswith("text/x-odd")
    assert headers["x-kept"] == "so"
    assert "content-length" not in headers


def test_where_a_body_is_empty_the_query_alone_counts(client: TestClient) -> None:
    params: dict[str, Any] = {"prefix": "分开", "num_chars": 9}
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
    # Without a seed: the id carries the drawn one.
    fields: dict[str, Any] = {"prefix": "分开", "num_chars": 200, "temperature": 1.0}
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
        params: dict[str, Any] = {"prefix": "a", "stream": True}
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


# Over a model.


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("name", ["tiny", "other"])
def test_the_answer_is_the_references_text(client: TestClient, models_dir: Path, method: str, name: str) -> None:
    checkpoint = checkpoints.load(models_dir / name)
    for prefix in ("分开", "不分开", "战争中部队"):
        fields = {"prefix": prefix, "num_chars": 50, "model": name}
        body = client.request(method, "/generate", params=fields).json()
        assert body["text"] == predict_rnn(prefix, 50, checkpoint)
        assert body["text"] == body["prefix"] + body["generated"]
        assert len(body["generated"]) == 50
        assert (body["finish_reason"], body["model"], body["seed"]) == ("length", name, None)
        assert set(body["timing"]) == {"queue_ms", "decode_ms", "chars_per_second"}


def test_a_json_body_means_the_same_as_a_query(client: TestClient) -> None:
    fields: dict[str, Any] = {"prefix": "分开", "num_chars": 30, "temperature": 1.0, "seed": 3}
    from_query = client.post("/generate", params=fields).json()
    assert answer_of(client, **fields)["text"] == from_query["text"]
    mixed = client.post("/generate", params={"prefix": "分开"}, json={k: v for k, v in fields.items() if k != "prefix"})
    assert mixed.json()["text"] == from_query["text"]


def test_a_field_is_refused_that_has_two_values(client: TestClient) -> None:
    response = client.post("/generate", params={"prefix": "a"}, json={"prefix": "b"})
    assert response.status_code == 422
    assert response.json()["detail"] == "prefix: is 'a' in the query and 'b' in the body; give it once"
    assert client.post("/generate", params={"prefix": "a"}, json={"prefix": "a"}).status_code == 200


def test_without_num_chars_a_hundred_are_written(client: TestClient) -> None:
    assert len(answer_of(client, prefix="a")["generated"]) == 100


def test_the_prefix_comes_back_as_the_model_saw_it(client: TestClient) -> None:
    assert answer_of(client, prefix="AB\nC", num_chars=3)["prefix"] == "ab c"


def test_a_seed_makes_sampling_repeatable_and_is_returned_when_drawn(client: TestClient) -> None:
    drawn = answer_of(client, prefix="分开", temperature=1.0, num_chars=60)
    again = answer_of(client, prefix="分开", temperature=1.0, num_chars=60, seed=drawn["seed"])
    other = answer_of(client, prefix="分开", temperature=1.0, num_chars=60, seed=drawn["seed"] + 1)
    assert drawn["text"] == again["text"] != other["text"]


def test_top_k_of_one_is_greedy_at_any_temperature(client: TestClient) -> None:
    greedy = answer_of(client, prefix="分开", num_chars=40)["text"]
    assert answer_of(client, prefix="分开", num_chars=40, temperature=2.0, top_k=1)["text"] == greedy
    assert answer_of(client, prefix="分开", num_chars=40, temperature=2.0, top_p=1e-9)["text"] == greedy


def test_n_continuations_have_a_seed_each_that_writes_them_again(client: TestClient) -> None:
    body = answer_of(client, prefix="分开", num_chars=30, temperature=1.0, n=4, seed=11)
    assert len({choice["text"] for choice in body["choices"]}) == 4
    assert body["text"] == body["choices"][0]["text"]
    for choice in body["choices"]:
        alone = answer_of(client, prefix="分开", num_chars=30, temperature=1.0, seed=choice["seed"])
        assert alone["text"] == choice["text"]


def test_writing_ends_before_a_stop_string(client: TestClient) -> None:
    whole = answer_of(client, prefix="分开", num_chars=60, temperature=1.0, seed=5)["generated"]
    stop = whole[20:22]
    body = answer_of(client, prefix="分开", num_chars=60, temperature=1.0, seed=5, stop=[stop])
    assert body["generated"] == whole[: whole.index(stop)]
    assert body["finish_reason"] == "stop"


def test_logprobs_come_for_each_character_with_the_likeliest_alternatives_first(client: TestClient) -> None:
    body = answer_of(client, prefix="分开", num_chars=10, logprobs=3)
    assert [item["character"] for item in body["logprobs"]] == list(body["generated"])
    for item in body["logprobs"]:
        values = [alternative["logprob"] for alternative in item["alternatives"]]
        assert len(values) == 3
        assert values == sorted(values, reverse=True)
        assert item["alternatives"][0]["character"] == item["character"]  # greedy
        assert item["logprob"] == values[0] < 0


def test_unknown_characters_are_refused_with_their_positions_or_skipped(client: TestClient) -> None:
    body = answer_of(client, 422, prefix="分本开本")
    assert body["errors"][0]["unknown"] == [{"character": "本", "positions": [1, 3]}]
    assert "'本' (U+672C) at positions 1, 3" in body["detail"]
    skipped = answer_of(client, prefix="分本开本", unknown="skip", num_chars=5)
    assert skipped["prefix"] == "分开"
    assert "holds no character that the model knows" in answer_of(client, 422, prefix="本", unknown="skip")["detail"]


def test_a_full_queue_is_429_with_retry_after_streamed_or_not(models_dir: Path) -> None:
    with client_of(models_dir, max_rows=1, max_queue=1, stall_s=300) as client:
        served = service_behind(client).registry.get("tiny")
        scheduler, engine = served.scheduler, served.lm.engine
        begun, may_go, advance = threading.Event(), threading.Event(), engine.advance

        def advance_when_it_may(*arguments: Any) -> Any:
            begun.set()
            assert may_go.wait(300)
            return advance(*arguments)

        question = {"prefix": "a", "num_chars": 1}
        first, second = (threading.Thread(target=answer_of, args=(client,), kwargs=question) for _ in range(2))
        with mock.patch.object(engine, "advance", advance_when_it_may):
            first.start()
            assert begun.wait(300)
            second.start()
            while len(scheduler._inbox) == 0:
                time.sleep(0.005)
            for stream in (True, False):
                response = client.post("/generate", json={"prefix": "a", "stream": stream})
                assert response.status_code == 429, response.text
                assert int(response.headers["retry-after"]) >= 1
            may_go.set()
            first.join()
            second.join()


def test_a_request_that_takes_too_long_is_503(models_dir: Path) -> None:
    with client_of(models_dir, request_timeout_s=0.05, max_num_chars=10**7, root_path="/texts") as client:
        response = client.post("/generate", json={"prefix": "a", "num_chars": 10**6})
        assert (response.status_code, response.json()["type"]) == (503, "/texts/problems/timeout")
        assert int(response.headers["retry-after"]) >= 1
        stream = client.post("/generate", json={"prefix": "a", "num_chars": 10**6, "stream": True})
        assert 'event: error\ndata: {"type":"/texts/problems/timeout"' in stream.text
        # Their rows are free: a short one is in time, on a busy machine not at once.
        eventually(lambda: client.post("/generate", json={"prefix": "a", "num_chars": 5}).status_code == 200)


def test_there_is_no_model_of_that_name(client: TestClient) -> None:
    body = answer_of(client, 404, prefix="a", model="../etc/passwd")
    assert "there is no '../etc/passwd'; there are: other, tiny" in body["detail"]


def test_a_lone_surrogate_is_not_text(client: TestClient) -> None:
    headers = {"Content-Type": "application/json"}
    for path in ("/generate", "/v1/completions"):
        content = b'{"prefix": "a\\ud800", "prompt": "a\\ud800", "model": "tiny"}'
        response = client.post(path, content=content, headers=headers)
        assert response.status_code in (400, 422)
    alone = client.post("/generate", content=b'{"prefix": "a\\ud800"}', headers=headers)
    assert alone.json()["errors"][0]["field"] == "prefix"
    assert "lone surrogate, U+D800" in alone.json()["detail"]


@pytest.mark.parametrize("query", ["prefix=%FF", "prefix=%ED%A0%80", "prefix=a&num_chars=ten", "prefix=a&prefx=b"])
def test_a_bad_query_is_422(client: TestClient, query: str) -> None:
    assert client.get(f"/generate?{query}").status_code == 422


@pytest.mark.parametrize("content", [b"{", b"[" * 100_000, b"\xff", b'"text"', b"[]", b"null1"])
def test_a_body_that_is_not_an_object_is_a_4xx(client: TestClient, content: bytes) -> None:
    response = client.post("/generate", content=content, headers={"Content-Type": "application/json"})
    assert 400 <= response.status_code < 500, response.text
    assert response.json()["detail"]


AS_FORM = {"Content-Type": FORM}


@pytest.mark.parametrize("prefix", ["分开", quote("分开"), "分%E5%BC%80"])
def test_a_form_is_read_as_a_query_is(client: TestClient, prefix: str) -> None:
    form = f"prefix={prefix}&num_chars=20&temperature=0.8&seed=7&stop=zz&stop=yy"
    answer = client.post("/generate", content=form.encode(), headers=AS_FORM)
    assert answer.status_code == 200, answer.text
    fields: dict[str, Any] = {"prefix": "分开", "num_chars": 20, "temperature": 0.8, "seed": 7}
    assert answer.json()["text"] == client.get("/generate", params={**fields, "stop": ["zz", "yy"]}).json()["text"]


@pytest.mark.parametrize(
    "wrong",
    [
        b"prefix=%FF",
        b"prefix=\xb7\xd6",
        b"prefix=a&prefix=b",
        b"prefix=a&num_chars=ten",
        b"prfix=a",
        b"a=" + b"&" * 100,
    ],
)
def test_a_wrong_form_is_refused_with_the_words_for_a_wrong_query(client: TestClient, wrong: bytes) -> None:
    as_form = client.post("/generate", content=wrong, headers=AS_FORM)
    as_query = client.get("/generate?" + wrong.decode("latin-1").replace("\xb7\xd6", "%B7%D6"))
    assert as_form.status_code == as_query.status_code == 422
    assert as_form.json()["detail"] == as_query.json()["detail"].replace("the query", "the body")


def test_json_that_is_named_a_form_is_told_how_to_be_sent(client: TestClient) -> None:
    answer = client.post("/generate", content=b' {"prefix": "a"}', headers=AS_FORM)  # curl -d without -H
    assert answer.status_code == 415
    assert "'Content-Type: application/json'" in answer.json()["detail"]


def test_a_field_of_the_query_and_of_the_form_has_one_value(client: TestClient) -> None:
    answer = client.post("/generate?prefix=a&n=1", content=b"prefix=a&n=2", headers=AS_FORM)
    assert answer.json()["detail"] == "n: is 1 in the query and 2 in the body; give it once"
    assert client.post("/generate?prefix=a&n=1", content=b"prefix=a&n=1", headers=AS_FORM).status_code == 200


@pytest.mark.parametrize("path", ["/generate", "/score", "/v1/completions"])
def test_a_byte_order_mark_before_json_is_no_part_of_it(client: TestClient, path: str) -> None:
    body = {"/generate": {"prefix": "分开"}, "/score": {"text": "分开"}}.get(path, {"model": "tiny", "prompt": "分开"})
    content = codecs.BOM_UTF8 + json.dumps(body).encode()
    answer = client.post(path, content=content, headers={"Content-Type": "application/json"})
    assert answer.status_code == 200, answer.text


@pytest.mark.parametrize("stream", [False, True])
def test_head_says_what_get_would_and_decodes_nothing(
    client: TestClient, monkeypatch: pytest.MonkeyPatch, stream: bool
) -> None:
    params: dict[str, Any] = {"prefix": "分开", "stream": stream}
    got = client.get("/generate", params=params)
    monkeypatch.setattr(route, "submit", lambda _: pytest.fail("a text for nobody"))
    head = client.head("/generate", params=params)
    assert (head.status_code, head.content) == (200, b"")
    assert "content-length" not in head.headers
    for name in ("content-type", "cache-control"):
        assert head.headers.get(name) == got.headers.get(name)
    assert client.head("/generate", params={"prefix": "本"}).status_code == 422


def test_an_answer_that_alone_takes_too_much_memory_is_refused_with_the_sizes(models_dir: Path) -> None:
    with client_of(models_dir, max_answer_mb=1) as client:
        fields: dict[str, Any] = {"prefix": "a", "num_chars": 1000, "n": 4, "logprobs": 10}
        refused = client.get("/generate", params=fields)
        assert refused.status_code == 422
        (error,) = refused.json()["errors"]
        assert error["field"] == "num_chars"
        assert all(part in error["message"] for part in ("4 × 1000", "10 alternatives", "MB"))
        assert client.get("/generate", params={**fields, "n": 1}).status_code == 200
        body = {"model": "tiny", "prompt": "a", "max_tokens": 9000, "n": 2, "temperature": 0}
        refused = client.post("/v1/completions", json=body)
        assert refused.status_code == 400
        assert "max_tokens" in refused.text
        refused = client.post("/score", json={"text": "a" * 9000})
        assert refused.status_code == 422
        assert refused.json()["errors"][0]["field"] == "text"
        assert client.post("/score", json={"text": "a" * 100}).status_code == 200
