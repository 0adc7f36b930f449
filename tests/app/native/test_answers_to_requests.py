from __future__ import annotations

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

from app.native import generate as generate_route
from model import checkpoint as checkpoints
from tests.app.conftest import client_of
from tests.reference import predict_rnn


def post(client: TestClient, status: int = 200, **fields: Any) -> dict[str, Any]:
    response = client.post("/generate", json=fields)
    assert response.status_code == status, response.text
    body: dict[str, Any] = response.json()
    return body


def events(client: TestClient, last_event_id: str | None = None, **fields: Any) -> list[tuple[str, str, Any]]:
    """(event, id, data) of a stream."""
    headers = {"Last-Event-ID": last_event_id} if last_event_id else {}
    response = client.post("/generate", json={"stream": True, **fields}, headers=headers)
    assert response.status_code == 200, response.text
    assert response.headers["content-type"].startswith("text/event-stream")
    assert response.headers["cache-control"] == "no-store"
    assert response.headers["x-accel-buffering"] == "no"
    found = []
    for block in response.text.strip().split("\n\n"):
        lines = dict(line.split(": ", 1) for line in block.split("\n"))
        found.append((lines["event"], lines.get("id", ""), json.loads(lines["data"])))
    return found


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
    fields = {"prefix": "分开", "num_chars": 30, "temperature": 1.0, "seed": 3}
    from_query = client.post("/generate", params=fields).json()
    assert post(client, **fields)["text"] == from_query["text"]
    mixed = client.post("/generate", params={"prefix": "分开"}, json={k: v for k, v in fields.items() if k != "prefix"})
    assert mixed.json()["text"] == from_query["text"]


def test_a_field_given_twice_is_refused(client: TestClient) -> None:
    response = client.post("/generate", params={"prefix": "a"}, json={"prefix": "a"})
    assert response.status_code == 422
    assert "prefix: is in the query and in the body" in response.json()["detail"]


def test_without_num_chars_a_hundred_are_written(client: TestClient) -> None:
    assert len(post(client, prefix="a")["generated"]) == 100


def test_the_prefix_comes_back_as_the_model_saw_it(client: TestClient) -> None:
    assert post(client, prefix="AB\nC", num_chars=3)["prefix"] == "ab c"


def test_a_seed_makes_sampling_repeatable_and_is_returned_when_drawn(client: TestClient) -> None:
    drawn = post(client, prefix="分开", temperature=1.0, num_chars=60)
    again = post(client, prefix="分开", temperature=1.0, num_chars=60, seed=drawn["seed"])
    other = post(client, prefix="分开", temperature=1.0, num_chars=60, seed=drawn["seed"] + 1)
    assert drawn["text"] == again["text"] != other["text"]


def test_top_k_of_one_is_greedy_at_any_temperature(client: TestClient) -> None:
    greedy = post(client, prefix="分开", num_chars=40)["text"]
    assert post(client, prefix="分开", num_chars=40, temperature=2.0, top_k=1)["text"] == greedy
    assert post(client, prefix="分开", num_chars=40, temperature=2.0, top_p=1e-9)["text"] == greedy


def test_n_continuations_have_a_seed_each_that_writes_them_again(client: TestClient) -> None:
    body = post(client, prefix="分开", num_chars=30, temperature=1.0, n=4, seed=11)
    assert len({choice["text"] for choice in body["choices"]}) == 4
    assert body["text"] == body["choices"][0]["text"]
    for choice in body["choices"]:
        alone = post(client, prefix="分开", num_chars=30, temperature=1.0, seed=choice["seed"])
        assert alone["text"] == choice["text"]


def test_writing_ends_before_a_stop_string(client: TestClient) -> None:
    whole = post(client, prefix="分开", num_chars=60, temperature=1.0, seed=5)["generated"]
    stop = whole[20:22]
    body = post(client, prefix="分开", num_chars=60, temperature=1.0, seed=5, stop=[stop])
    assert body["generated"] == whole[: whole.index(stop)]
    assert body["finish_reason"] == "stop"


def test_logprobs_come_for_each_character_with_the_likeliest_alternatives_first(client: TestClient) -> None:
    body = post(client, prefix="分开", num_chars=10, logprobs=3)
    assert [item["character"] for item in body["logprobs"]] == list(body["generated"])
    for item in body["logprobs"]:
        values = [alternative["logprob"] for alternative in item["alternatives"]]
        assert len(values) == 3
        assert values == sorted(values, reverse=True)
        assert item["alternatives"][0]["character"] == item["character"]  # greedy
        assert item["logprob"] == values[0] < 0


def test_unknown_characters_are_refused_with_their_positions_or_skipped(client: TestClient) -> None:
    body = post(client, 422, prefix="分本开本")
    assert body["errors"][0]["unknown"] == [{"character": "本", "positions": [1, 3]}]
    assert "'本' (U+672C) at positions 1, 3" in body["detail"]
    skipped = post(client, prefix="分本开本", unknown="skip", num_chars=5)
    assert skipped["prefix"] == "分开"
    assert "holds no character that the model knows" in post(client, 422, prefix="本", unknown="skip")["detail"]


@pytest.mark.parametrize("temperature", [0.0, 1.0])
@pytest.mark.parametrize("name", ["tiny", "other"])
def test_forty_and_sixty_characters_are_the_hundred_of_one_request(
    client: TestClient, models_dir: Path, temperature: float, name: str
) -> None:
    fields = {"temperature": temperature, "model": name}
    if temperature:
        fields["seed"] = 9
    whole = post(client, prefix="分开", num_chars=100, **fields)["generated"]
    first = post(client, prefix="分开", num_chars=40, return_state=True, **fields)
    rest = {"temperature": temperature, "model": name, "state": first["state"]}
    assert first["generated"] + post(client, num_chars=60, **rest)["generated"] == whole
    with client_of(models_dir) as another:  # same secret, other process in spirit: nothing is shared but the token
        assert first["generated"] + post(another, num_chars=60, **rest)["generated"] == whole


def test_a_text_cut_by_a_stop_string_goes_on_where_it_was_cut(client: TestClient) -> None:
    fields = {"temperature": 1.0, "seed": 5}
    whole = post(client, prefix="分开", num_chars=60, **fields)["generated"]
    stop = whole[20:22]
    cut = post(client, prefix="分开", num_chars=60, stop=[stop], return_state=True, **fields)
    rest = post(client, state=cut["state"], num_chars=60 - len(cut["generated"]), temperature=1.0)
    assert cut["generated"] + rest["generated"] == whole


def test_a_token_that_was_changed_is_422_and_one_of_other_weights_409(client: TestClient, models_dir: Path) -> None:
    token = post(client, prefix="分开", num_chars=5, return_state=True)["state"]
    for at in (0, len(token) // 2, len(token) - 1):
        changed = token[:at] + ("A" if token[at] != "A" else "B") + token[at + 1 :]
        assert "state: is not a token" in post(client, 422, state=changed)["detail"]
    assert "state: belongs to other weights" in post(client, 409, state=token, model="other")["detail"]
    with client_of(models_dir, secret="another secret altogether") as another:
        post(another, 422, state=token)


def test_prefix_and_state_exclude_each_other_and_one_must_be_there(client: TestClient) -> None:
    assert "not both" in post(client, 422, prefix="a", state="x")["detail"]
    assert "prefix: is missing" in post(client, 422)["detail"]


def test_a_stream_brings_the_text_in_chunks_and_ends_with_the_plain_answer(client: TestClient) -> None:
    fields = {"prefix": "分开", "num_chars": 300, "temperature": 1.0, "seed": 4}
    *chunks, done = events(client, **fields)
    assert [kind for kind, _, _ in chunks] == ["chunk"] * len(chunks)
    assert all(data["text"] for _, _, data in chunks)
    plain = post(client, **fields)
    assert "".join(data["text"] for _, _, data in chunks) == plain["generated"]
    assert done[0] == "done"
    assert {**done[2], "timing": 0} == {**plain, "timing": 0}


def test_a_streams_logprobs_are_those_of_the_plain_answer(client: TestClient) -> None:
    fields = {"prefix": "分开", "num_chars": 50, "logprobs": 2, "stop": ["zz"]}
    *chunks, _ = events(client, **fields)
    assert [item for _, _, data in chunks for item in data["logprobs"]] == post(client, **fields)["logprobs"]


def test_no_part_of_a_stop_string_is_streamed(client: TestClient) -> None:
    fields = {"prefix": "分开", "num_chars": 200, "temperature": 1.0, "seed": 4}
    whole = post(client, **fields)["generated"]
    *chunks, done = events(client, stop=[whole[150:154]], **fields)
    assert "".join(data["text"] for _, _, data in chunks) == whole[: whole.index(whole[150:154])]
    assert done[2]["finish_reason"] == "stop"


@pytest.mark.parametrize("n", [1, 3])
def test_a_client_that_comes_back_gets_the_rest_and_nothing_twice(client: TestClient, n: int) -> None:
    fields = {"prefix": "分开", "num_chars": 400, "temperature": 1.0, "seed": 4, "n": n}
    first = events(client, **fields)
    texts = [""] * n
    for kind, event_id, data in first[: len(first) // 2 + 1]:
        if kind == "chunk":
            texts[data["index"]] += data["text"]
            last = event_id
    for kind, _, data in events(client, last_event_id=last, **fields):
        if kind == "chunk":
            texts[data["index"]] += data["text"]
    body = first[-1][2]
    assert texts == [choice["generated"] for choice in body.get("choices", [body])]


def test_a_client_that_has_everything_is_told_so_and_a_wrong_id_is_refused(client: TestClient) -> None:
    fields = {"prefix": "a", "stream": True}
    assert client.post("/generate", json=fields, headers={"Last-Event-ID": "done"}).status_code == 204
    wrong = client.post("/generate", json=fields, headers={"Last-Event-ID": "1.2"})
    assert wrong.status_code == 422
    assert "Last-Event-ID: is not an id" in wrong.json()["detail"]


def test_an_error_before_the_first_character_is_a_status_not_an_event(client: TestClient) -> None:
    assert client.post("/generate", json={"prefix": "本", "stream": True}).status_code == 422


def test_a_full_queue_is_429_with_retry_after_streamed_or_not(models_dir: Path) -> None:
    with client_of(models_dir, max_rows=1, max_queue=1, stall_s=300) as client:
        served = client.app.state.service.registry.get("tiny")  # type: ignore[attr-defined]
        scheduler, engine = served.scheduler, served.lm.engine
        begun, may_go, advance = threading.Event(), threading.Event(), engine.advance

        def advance_when_it_may(*arguments: Any) -> Any:
            begun.set()
            assert may_go.wait(300)
            return advance(*arguments)

        question = {"prefix": "a", "num_chars": 1}
        first, second = (threading.Thread(target=post, args=(client,), kwargs=question) for _ in range(2))
        with mock.patch.object(engine, "advance", advance_when_it_may):
            first.start()
            assert begun.wait(300)
            second.start()
            while scheduler.waiting == 0:
                time.sleep(0.005)
            for stream in (True, False):
                response = client.post("/generate", json={"prefix": "a", "stream": stream})
                assert response.status_code == 429, response.text
                assert int(response.headers["retry-after"]) >= 1
            may_go.set()
            first.join()
            second.join()


def test_a_request_that_takes_too_long_is_503(models_dir: Path) -> None:
    with client_of(models_dir, request_timeout_s=0.05, max_num_chars=10**7) as client:
        response = client.post("/generate", json={"prefix": "a", "num_chars": 10**6})
        assert response.status_code == 503
        assert int(response.headers["retry-after"]) >= 1
        stream = client.post("/generate", json={"prefix": "a", "num_chars": 10**6, "stream": True})
        assert "event: error" in stream.text
        assert client.post("/generate", json={"prefix": "a", "num_chars": 5}).status_code == 200


def test_there_is_no_model_of_that_name(client: TestClient) -> None:
    body = post(client, 404, prefix="a", model="../etc/passwd")
    assert "there is no '../etc/passwd'; there are: other, tiny" in body["detail"]


BAD_VALUES = [
    ("num_chars", -1),
    ("num_chars", 0),
    ("num_chars", 1.5),
    ("num_chars", "10"),
    ("num_chars", True),
    ("num_chars", 2**63),
    ("num_chars", int("9" * 400)),
    ("num_chars", 10_001),
    ("num_chars", None),
    ("temperature", 1e-320),
    ("temperature", -1),
    ("temperature", 0.001),
    ("temperature", 6),
    ("temperature", "1"),
    ("top_p", 1.5),
    ("top_p", 0),
    ("top_k", 0),
    ("seed", -1),
    ("seed", 2**63),
    ("n", 0),
    ("n", 17),
    ("stop", ["a"] * 100),
    ("stop", [""]),
    ("stop", ""),
    ("stop", 7),
    ("logprobs", 21),
    ("logprobs", -1),
    ("unknown", "ignore"),
    ("state", "not one"),
    ("state", ""),
    ("prefix", ""),
    ("prefix", "\x00"),
    ("prefix", 7),
    ("prefix", "a" * 10_001),
    ("stream", "yes"),
    ("temprature", 1),
    ("model", ["tiny"]),
]


@pytest.mark.parametrize(("field", "value"), BAD_VALUES, ids=[f"{f}={str(v)[:12]!r}" for f, v in BAD_VALUES])
def test_a_bad_value_is_422_and_the_message_names_the_field(client: TestClient, field: str, value: Any) -> None:
    fields = {"prefix": "a", field: value}
    if field == "state":
        fields.pop("prefix")
    response = client.post("/generate", content=json.dumps(fields), headers={"Content-Type": "application/json"})
    assert response.status_code == 422, response.text
    assert response.headers["content-type"] == "application/problem+json"
    body = response.json()
    assert body["status"] == 422
    assert field in body["detail"] or "unknown" in body["errors"][0]
    assert len(response.content) < 1000
    assert len(post(client, prefix="a", num_chars=3)["generated"]) == 3


def test_a_lone_surrogate_is_not_text(client: TestClient) -> None:
    headers = {"Content-Type": "application/json"}
    for path in ("/generate", "/v1/completions"):
        content = b'{"prefix": "a\\ud800", "prompt": "a\\ud800", "model": "tiny"}'
        response = client.post(path, content=content, headers=headers)
        assert response.status_code in (400, 422)
    alone = client.post("/generate", content=b'{"prefix": "a\\ud800"}', headers=headers)
    assert "hex escape" in alone.json()["detail"]


@pytest.mark.parametrize("text", ["NaN", "Infinity", "-Infinity", "1e999"])
def test_a_temperature_that_is_no_number_is_refused(client: TestClient, text: str) -> None:
    content = '{"prefix": "a", "temperature": %s}' % text  # noqa: UP031 - braces
    response = client.post("/generate", content=content, headers={"Content-Type": "application/json"})
    assert response.status_code == 422
    assert "temperature" in response.json()["detail"]
    assert client.get("/generate", params={"prefix": "a", "temperature": text}).status_code == 422


@pytest.mark.parametrize("query", ["prefix=%FF", "prefix=%ED%A0%80", "prefix=a&num_chars=ten", "prefix=a&prefx=b"])
def test_a_bad_query_is_422(client: TestClient, query: str) -> None:
    assert client.get(f"/generate?{query}").status_code == 422


@pytest.mark.parametrize("content", [b"{", b"[" * 100_000, b"\xff", b'"text"', b"[]", b"null1"])
def test_a_body_that_is_not_an_object_is_a_4xx(client: TestClient, content: bytes) -> None:
    response = client.post("/generate", content=content, headers={"Content-Type": "application/json"})
    assert 400 <= response.status_code < 500, response.text
    assert response.json()["detail"]


FORM = {"Content-Type": "application/x-www-form-urlencoded"}


@pytest.mark.parametrize("prefix", ["分开", quote("分开"), "分%E5%BC%80"])
def test_a_form_is_read_as_a_query_is(client: TestClient, prefix: str) -> None:
    form = f"prefix={prefix}&num_chars=20&temperature=0.8&seed=7&stop=zz&stop=yy"
    answer = client.post("/generate", content=form.encode(), headers=FORM)
    assert answer.status_code == 200, answer.text
    fields = {"prefix": "分开", "num_chars": 20, "temperature": 0.8, "seed": 7}
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
    as_form = client.post("/generate", content=wrong, headers=FORM)
    as_query = client.get("/generate?" + wrong.decode("latin-1").replace("\xb7\xd6", "%B7%D6"))
    assert as_form.status_code == as_query.status_code == 422
    assert as_form.json()["detail"] == as_query.json()["detail"].replace("the query", "the body")


def test_json_that_is_named_a_form_is_told_how_to_be_sent(client: TestClient) -> None:
    answer = client.post("/generate", content=b' {"prefix": "a"}', headers=FORM)  # curl -d without -H
    assert answer.status_code == 415
    assert "'Content-Type: application/json'" in answer.json()["detail"]


def test_a_field_of_the_query_and_of_the_form_is_given_twice(client: TestClient) -> None:
    answer = client.post("/generate?prefix=a", content=b"prefix=a", headers=FORM)
    assert "prefix: is in the query and in the body" in answer.json()["detail"]


def test_one_stop_string_may_stand_alone_in_json(client: TestClient) -> None:
    whole = post(client, prefix="分开", num_chars=60, temperature=1.0, seed=5)["generated"]
    body = post(client, prefix="分开", num_chars=60, temperature=1.0, seed=5, stop=whole[20:22])
    assert body["generated"] == whole[: whole.index(whole[20:22])]


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
    params = {"prefix": "分开", "stream": stream}
    got = client.get("/generate", params=params)
    monkeypatch.setattr(generate_route, "submit", lambda _: pytest.fail("a text for nobody"))
    head = client.head("/generate", params=params)
    assert (head.status_code, head.content) == (200, b"")
    assert "content-length" not in head.headers
    for name in ("content-type", "cache-control"):
        assert head.headers.get(name) == got.headers.get(name)
    assert client.head("/generate", params={"prefix": "本"}).status_code == 422


def test_an_answer_that_alone_takes_too_much_memory_is_refused_with_the_sizes(models_dir: Path) -> None:
    with client_of(models_dir, max_answer_mb=1) as client:
        fields = {"prefix": "a", "num_chars": 1000, "n": 4, "logprobs": 10}
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
