"""`/v1` in this process, judged by `/generate`, by the book's equations in float64, and by each prompt asked alone."""

from __future__ import annotations

import asyncio
import json
import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient

from app.refusals import Cancelled, QueueFull, StepFailed
from app.scheduling.reply import Reply
from app.scheduling.requests import GenerateRequest, Result, ScoreRequest
from model import checkpoint as checkpoints
from model.decoding.measure import Measured
from tests.app.conftest import client_of, service_behind
from tests.book import book_forward

PROMPTS = ["分开", "a", "战争中部队"]
SEED, WRITTEN = 4, 20


def post(client: TestClient, status: int = 200, **fields: Any) -> Any:
    response = client.post("/v1/completions", json={"model": "tiny", "prompt": "分开", "seed": SEED, **fields})
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/json"
    return response.json()


def streamed(client: TestClient, **fields: Any) -> list[dict[str, Any]]:
    """What each line of the stream says, but for [DONE]."""
    body = {"model": "tiny", "prompt": "分开", "seed": SEED, "stream": True, **fields}
    response = client.post("/v1/completions", json=body)
    assert response.status_code == 200, response.text
    assert response.headers["content-type"].startswith("text/event-stream")
    *blocks, done, nothing = response.text.split("\n\n")
    assert (done, nothing) == ("data: [DONE]", "")
    assert all(block.startswith("data: ") for block in blocks)
    return [json.loads(block.removeprefix("data: ")) for block in blocks]


def expected_texts(client: TestClient, prompts: list[str], n: int, **fields: Any) -> list[tuple[str, str, str]]:
    """Prompt, text and finish reason of each choice, by the other route."""
    found = []
    for prompt in prompts:
        body = {"prefix": prompt, "num_chars": WRITTEN, "temperature": 1.0, "seed": SEED, "n": n, **fields}
        answer = client.post("/generate", json=body).json()
        choices = answer.get("choices", [answer])
        found += [(prompt, choice["generated"], choice["finish_reason"]) for choice in choices]
    return found


class Book:
    """Log-probabilities of a text's characters, by the book's equations."""

    def __init__(self, models_dir: Path) -> None:
        self._checkpoint = checkpoints.load(models_dir / "tiny")
        self._parameters = {name: array.astype(np.float64) for name, array in self._checkpoint.parameters.items()}

    def check(self, logprobs: dict[str, Any], prompt: str, written: str, shown: str, alternatives: int) -> None:
        """logprobs: of `shown`, the end of prompt + written."""
        text = prompt + written
        vocabulary = self._checkpoint.vocabulary
        indices = vocabulary.encode(text)
        Y, _ = book_forward(self._checkpoint.config, self._parameters, indices[None])
        rows = Y[:-1, 0] - np.log(np.exp(Y[:-1, 0]).sum(axis=1, keepdims=True))
        begin = len(text) - len(shown)
        assert logprobs["tokens"] == list(shown)
        assert logprobs["text_offset"] == list(range(begin, len(text)))
        own, top = logprobs["token_logprobs"], logprobs["top_logprobs"]
        assert len(own) == len(top) == len(shown)
        if not begin:  # nothing stands before the first character
            assert (own[0], top[0]) == (None, None)
            own, top = own[1:], top[1:]
        rows, behind = rows[len(rows) - len(own) :], indices[len(indices) - len(own) :]
        np.testing.assert_allclose(own, rows[np.arange(len(own)), behind], atol=1e-3)
        for row, likeliest in zip(rows, top, strict=True):
            assert len(likeliest) == alternatives
            best = np.sort(row)[::-1][:alternatives]
            np.testing.assert_allclose(sorted(likeliest.values(), reverse=True), best, atol=1e-3)
            np.testing.assert_allclose(
                list(likeliest.values()), [row[vocabulary.encode(c)[0]] for c in likeliest], atol=1e-3
            )


def check_head(objects: list[dict[str, Any]], since: float) -> None:
    """All of one answer begin alike."""
    (head,) = {(o["id"], o["object"], o["created"], o["model"]) for o in objects}
    assert head[0].startswith("cmpl-")
    assert len(head[0]) > 20
    assert head[1:2] + head[3:] == ("text_completion", "tiny")
    assert int(since) <= head[2] <= time.time()


@pytest.mark.parametrize("n", [1, 3])
@pytest.mark.parametrize("echo", [False, True])
@pytest.mark.parametrize("logprobs", [None, 0, 3])
@pytest.mark.parametrize("stream", [False, True])
def test_each_choice_of_each_prompt_is_what_generate_writes_and_the_book_measures(
    client: TestClient, models_dir: Path, n: int, echo: bool, logprobs: int | None, stream: bool
) -> None:
    fields: dict[str, Any] = {"prompt": PROMPTS, "max_tokens": WRITTEN, "n": n, "echo": echo, "logprobs": logprobs}
    expected, since = expected_texts(client, PROMPTS, n), time.time()
    if stream:
        objects = streamed(client, **fields)
        choices = gathered(objects, len(PROMPTS) * n)
        assert all("usage" not in o for o in objects)
    else:
        objects = [post(client, **fields)]
        choices = objects[0]["choices"]
        read = sum(map(len, PROMPTS))  # once, however many choices
        written = len(PROMPTS) * n * WRITTEN
        assert objects[0]["usage"] == {
            "prompt_tokens": read,
            "completion_tokens": written,
            "total_tokens": read + written,
        }
    check_head(objects, since)
    assert [choice["index"] for choice in choices] == list(range(len(PROMPTS) * n))
    book = Book(models_dir)
    for choice, (prompt, text, reason) in zip(choices, expected, strict=True):
        shown = prompt + text if echo else text
        assert (choice["text"], choice["finish_reason"]) == (shown, reason)
        if logprobs is None:
            assert choice["logprobs"] is None
        else:
            book.check(choice["logprobs"], prompt, text, shown, logprobs)


def gathered(objects: list[dict[str, Any]], count: int) -> list[dict[str, Any]]:
    """The choices of a stream put together: text comes before the reason that it ended, and nothing behind that."""
    choices: list[dict[str, Any]] = [
        {"text": "", "index": i, "logprobs": None, "finish_reason": None} for i in range(count)
    ]
    for event in objects:
        for part in event["choices"]:
            whole = choices[part["index"]]
            assert whole["finish_reason"] is None
            whole["text"] += part["text"]
            whole["finish_reason"] = part["finish_reason"]
            if part["logprobs"] is not None:
                if whole["logprobs"] is None:
                    whole["logprobs"] = {name: [] for name in part["logprobs"]}
                for name, values in part["logprobs"].items():
                    whole["logprobs"][name] += values
    return choices


@pytest.mark.parametrize("stream", [False, True])
def test_stops_end_the_choices_that_meet_them_and_those_alone(client: TestClient, stream: bool) -> None:
    (_, whole, _), *_ = expected_texts(client, ["分开"], 1)
    stop = whole[5:7]
    expected = expected_texts(client, PROMPTS, 2, stop=[stop])
    assert {reason for _, _, reason in expected} == {"stop", "length"}
    fields: dict[str, Any] = {"prompt": PROMPTS, "max_tokens": WRITTEN, "n": 2, "stop": stop}
    choices = gathered(streamed(client, **fields), 6) if stream else post(client, **fields)["choices"]
    assert [(choice["text"], choice["finish_reason"]) for choice in choices] == [
        (text, reason) for _, text, reason in expected
    ]


def test_the_usage_stands_in_the_last_line_of_a_stream_that_asks_for_it(client: TestClient) -> None:
    fields = {"prompt": PROMPTS, "max_tokens": 7, "n": 2, "echo": True}
    *before, last = streamed(client, **fields, stream_options={"include_usage": True})
    assert all(event["usage"] is None for event in before)
    assert last["choices"] == []
    assert last["usage"] == {"prompt_tokens": 8, "completion_tokens": 42, "total_tokens": 50}
    for options in ({"include_usage": False}, {}):
        assert all("usage" not in event for event in streamed(client, **fields, stream_options=options))


@pytest.mark.parametrize("echo", [False, True])
@pytest.mark.parametrize("logprobs", [None, 2])
def test_nothing_is_written_for_no_tokens(
    client: TestClient, models_dir: Path, echo: bool, logprobs: int | None
) -> None:
    fields: dict[str, Any] = {"prompt": PROMPTS, "max_tokens": 0, "n": 2, "echo": echo, "logprobs": logprobs}
    answer = post(client, **fields)
    assert answer["usage"] == {"prompt_tokens": 8, "completion_tokens": 0, "total_tokens": 8}
    for choices in (answer["choices"], gathered(streamed(client, **fields), 6)):
        assert [choice["index"] for choice in choices] == list(range(6))
        for choice, prompt in zip(choices, [prompt for prompt in PROMPTS for _ in range(2)], strict=True):
            assert (choice["text"], choice["finish_reason"]) == (prompt if echo else "", "length")
            if echo and logprobs is not None:
                Book(models_dir).check(choice["logprobs"], prompt, "", prompt, logprobs)
            else:
                assert choice["logprobs"] is None


@pytest.mark.parametrize("fields", [{}, {"temperature": None, "top_p": None, "n": None, "max_tokens": None}])
def test_what_is_left_out_or_null_is_openais_default(client: TestClient, fields: dict[str, Any]) -> None:
    body = {"prefix": "分开", "num_chars": 16, "temperature": 1.0, "top_p": 1.0, "seed": SEED}
    expected = client.post("/generate", json=body).json()["generated"]
    (choice,) = post(client, **fields)["choices"]
    assert (choice["text"], choice["logprobs"]) == (expected, None)
    nullable = ("stream", "echo", "stop", "logprobs", "stream_options", "user")
    nothing: dict[str, Any] = dict.fromkeys(nullable)
    assert post(client, **fields, **nothing)["choices"] == [choice]


@pytest.mark.parametrize("fields", [{"temperature": 0.0}, {"temperature": 0.7}, {"top_p": 0.4}, {"seed": 9}])
def test_the_fields_mean_what_those_of_generate_mean(client: TestClient, fields: dict[str, Any]) -> None:
    body = {"prefix": "分开", "num_chars": 40, "temperature": 1.0, "seed": SEED}
    expected = client.post("/generate", json={**body, **fields}).json()["generated"]
    assert expected != client.post("/generate", json=body).json()["generated"]
    assert post(client, max_tokens=40, **fields)["choices"][0]["text"] == expected


def test_texts_without_a_seed_differ(client: TestClient) -> None:
    texts = {post(client, seed=None, max_tokens=40)["choices"][0]["text"] for _ in range(3)}
    assert len(texts) == 3


def test_an_answer_names_the_stops_that_the_model_cannot_write(client: TestClient) -> None:
    stops = ["\n", "zz", "\t"]
    assert post(client, stop=stops)["unmatchable_stops"] == ["\n", "\t"]
    assert "unmatchable_stops" not in post(client, stop="zz")
    *_, last = streamed(client, stop=stops, prompt=PROMPTS)
    assert last["unmatchable_stops"] == ["\n", "\t"]
    assert "unmatchable_stops" not in post(client, stop=stops, max_tokens=0)


@pytest.mark.parametrize(
    ("fields", "param", "says"),
    [
        ({"max_tokens": 51}, "max_tokens", ["51", "50"]),
        ({"prompt": "a" * 31}, "prompt", ["31", "30", "characters"]),
        ({"prompt": ["a", "a" * 31]}, "prompt", ["31", "30", "characters"]),
        ({"prompt": "a本"}, "prompt", ["本", "position 1"]),
    ],
)
def test_a_refusal_names_openais_field_the_value_and_what_is_allowed(
    models_dir: Path, fields: dict[str, Any], param: str, says: list[str]
) -> None:
    with client_of(models_dir, max_num_chars=50, max_prefix_chars=30) as client:
        error = post(client, 400, **fields)["error"]
        assert (error["type"], error["param"]) == ("invalid_request_error", param)
        assert all(word in error["message"] for word in [*says, param])
        assert len(post(client, prompt="a" * 30, max_tokens=50)["choices"][0]["text"]) == 50


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"max_tokens": 10_000, "n": 16, "logprobs": 5}, "max_tokens"),
        ({"prompt": "a" * 10_000, "echo": True, "logprobs": 5, "max_tokens": 1}, "prompt"),
    ],
)
def test_an_answer_that_would_take_too_much_memory_is_refused_by_the_field_that_makes_it_long(
    models_dir: Path, fields: dict[str, Any], param: str
) -> None:
    with client_of(models_dir, max_answer_mb=1) as client:
        error = post(client, 400, **fields)["error"]
        assert error["param"] == param
        assert "memory" in error["message"]


# The scheduler's side.


@pytest.fixture
def taken(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> list[Reply[Any]]:
    """The generations that the scheduler gave, in order; its requests stand in `requests` beside."""
    scheduler = service_behind(client).registry.get("tiny").scheduler
    given: list[Reply[Any]] = []

    def noted(submit: Callable[[Any], Reply[Any]]) -> Callable[[Any], Reply[Any]]:
        def submitted(request: Any) -> Reply[Any]:
            given.append(submit(request))
            return given[-1]

        return submitted

    for name in ("submit", "submit_score"):
        monkeypatch.setattr(scheduler, name, noted(getattr(scheduler, name)))
    return given


def test_a_request_and_its_score_carry_the_caller_and_the_time_limit(
    models_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with client_of(models_dir, request_timeout_s=17) as client:
        scheduler = service_behind(client).registry.get("tiny").scheduler
        seen: list[GenerateRequest | ScoreRequest] = []

        def noted(submit: Callable[[Any], Reply[Any]]) -> Callable[[Any], Reply[Any]]:
            def submitted(request: Any) -> Reply[Any]:
                seen.append(request)
                return submit(request)

            return submitted

        for name in ("submit", "submit_score"):
            monkeypatch.setattr(scheduler, name, noted(getattr(scheduler, name)))
        post(client, echo=True, logprobs=2)
        assert [(request.caller, request.timeout_s) for request in seen] == [("testclient", 17)] * 2
        post(client, stream=None)
        assert isinstance(seen[-1], GenerateRequest)
        assert not seen[-1].stream
        streamed(client)
        assert isinstance(seen[-1], GenerateRequest)
        assert seen[-1].stream


@pytest.mark.parametrize("stream", [False, True])
def test_where_one_prompt_is_not_taken_the_others_are_given_up(
    client: TestClient, monkeypatch: pytest.MonkeyPatch, taken: list[Reply[Any]], stream: bool
) -> None:
    scheduler = service_behind(client).registry.get("tiny").scheduler
    submit = scheduler.submit

    def full_at_the_second(request: GenerateRequest) -> Reply[Result]:
        if len(taken) == 4:
            raise QueueFull("full")
        given: Reply[Result] = submit(request)
        return given

    monkeypatch.setattr(scheduler, "submit", full_at_the_second)
    fields = {"prompt": PROMPTS, "echo": True, "logprobs": 1, "max_tokens": 10_000, "stream": stream}
    error = post(client, 429, **fields)["error"]
    assert (error["type"], error["code"]) == ("rate_limit_error", "queue_full")
    assert len(taken) == 4
    assert all(generation.done for generation in taken)
    assert isinstance(taken[-1].error, Cancelled)


@pytest.mark.parametrize("stream", [False, True])
def test_where_a_prompt_cannot_be_scored_nothing_is_written(
    client: TestClient, monkeypatch: pytest.MonkeyPatch, taken: list[Reply[Any]], stream: bool
) -> None:
    scheduler = service_behind(client).registry.get("tiny").scheduler

    def broken(_: ScoreRequest) -> Reply[Measured]:
        generation: Reply[Measured] = Reply(asyncio.get_running_loop())
        generation.fail(StepFailed("the engine failed"))
        return generation

    monkeypatch.setattr(scheduler, "submit_score", broken)
    error = post(client, 500, echo=True, logprobs=1, max_tokens=10_000, stream=stream)["error"]
    assert (error["type"], error["message"]) == ("server_error", "the engine failed")
    assert [type(generation.error) for generation in taken] == [Cancelled]


def test_a_stream_that_breaks_ends_with_the_error_in_openais_shape(
    client: TestClient, monkeypatch: pytest.MonkeyPatch, taken: list[Reply[Any]]
) -> None:
    scheduler = service_behind(client).registry.get("tiny").scheduler
    submit = scheduler.submit

    def broken_at_the_second(request: GenerateRequest) -> Reply[Result]:
        if not taken:
            given: Reply[Result] = submit(request)
            return given
        generation: Reply[Result] = Reply(asyncio.get_running_loop())
        generation.fail(StepFailed("the engine failed"))
        return generation

    monkeypatch.setattr(scheduler, "submit", broken_at_the_second)
    body = {"model": "tiny", "prompt": ["分开", "a"], "max_tokens": 10_000, "n": 4, "stream": True}
    *_, last, nothing = client.post("/v1/completions", json=body).text.split("\n\n")
    assert nothing == ""
    assert json.loads(last.removeprefix("data: ")) == {
        "error": {"message": "the engine failed", "type": "server_error", "param": None, "code": None}
    }
    assert [type(generation.error) for generation in taken] == [Cancelled]


# The models.


def test_a_model_is_told_in_openais_words(client: TestClient) -> None:
    listed = client.get("/v1/models").json()
    assert listed["object"] == "list"
    assert [model["id"] for model in listed["data"]] == ["other", "tiny"]
    for model in listed["data"]:
        assert model == client.get(f"/v1/models/{model['id']}").json()
        assert (model["object"], model["owned_by"]) == ("model", "nextchar")
        assert math.isclose(model["created"], time.time(), abs_tol=3600)
    for path in ("/v1/models", "/v1/models/tiny"):
        assert client.get(path).headers["content-type"] == "application/json"


def test_a_model_that_is_not_there_is_named(client: TestClient) -> None:
    answer = client.get("/v1/models/gpt")
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "model_not_found")
    assert "'gpt'" in answer.json()["error"]["message"]
    assert post(client, 404, model="gpt")["error"]["code"] == "model_not_found"
    assert post(client, model="other")["model"] == "other"
