"""The official client against a real server."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import openai
import pytest

from app.scheduling.reply import Reply
from app.scheduling.requests import ScoreRequest
from model import checkpoint as checkpoints
from model.decoding.measure import Measured
from tests.app.conftest import Server, client_of, service_behind
from tests.reference import predict_rnn


@pytest.fixture(scope="module")
def api(server: Server) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{server.url}/v1", api_key="unused", max_retries=0) as client:
        yield client


def test_a_completion_is_the_references_text(api: openai.OpenAI, models_dir: Path) -> None:
    expected = predict_rnn("分开", 30, checkpoints.load(models_dir / "tiny"))
    answer = api.completions.create(model="tiny", prompt="分开", max_tokens=30, temperature=0)
    (choice,) = answer.choices
    assert "分开" + choice.text == expected
    assert (choice.finish_reason, choice.index, choice.logprobs) == ("length", 0, None)
    assert (answer.object, answer.model) == ("text_completion", "tiny")
    assert answer.usage is not None
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens, answer.usage.total_tokens) == (2, 30, 32)


def test_an_empty_prompt_begins_where_a_text_begins(api: openai.OpenAI, models_dir: Path) -> None:
    expected = predict_rnn(" ", 30, checkpoints.load(models_dir / "tiny"))[1:]  # it has a space, and no record
    answer = api.completions.create(model="tiny", prompt="", max_tokens=30, temperature=0)
    assert answer.choices[0].text == expected
    assert answer.usage is not None
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens) == (0, 30)


def test_sixteen_sampled_characters_are_the_default_and_a_seed_repeats_them(api: openai.OpenAI) -> None:
    texts = {api.completions.create(model="tiny", prompt="a", seed=3).choices[0].text for _ in range(2)}
    assert len(texts) == 1
    assert len(texts.pop()) == 16


def test_several_prompts_with_n_choices_each_are_numbered_in_order(api: openai.OpenAI) -> None:
    answer = api.completions.create(model="tiny", prompt=["分开", "战争"], n=2, max_tokens=8, seed=1, echo=True)
    assert [choice.index for choice in answer.choices] == [0, 1, 2, 3]
    assert [choice.text[:2] for choice in answer.choices] == ["分开", "分开", "战争", "战争"]
    assert answer.usage is not None
    assert answer.usage.completion_tokens == 32


@pytest.mark.parametrize("echo", [False, True])
def test_a_stream_brings_the_same_text_and_the_usage_last(api: openai.OpenAI, echo: bool) -> None:
    fields: dict[str, Any] = {
        "model": "tiny",
        "prompt": ["分开", "a"],
        "max_tokens": 200,
        "seed": 3,
        "n": 2,
        "echo": echo,
        "logprobs": 1,
    }
    whole = api.completions.create(**fields)
    texts, reasons, usage = [""] * 4, [""] * 4, None
    tokens: list[list[Any]] = [[], [], [], []]
    for event in api.completions.create(**fields, stream=True, stream_options={"include_usage": True}):
        assert usage is None, "nothing comes after the usage"
        usage = event.usage
        for choice in event.choices:
            texts[choice.index] += choice.text
            reasons[choice.index] += choice.finish_reason or ""
            if choice.logprobs is not None and choice.logprobs.tokens is not None:
                tokens[choice.index] += zip(
                    choice.logprobs.tokens,
                    choice.logprobs.text_offset or [],
                    choice.logprobs.token_logprobs or [],
                    strict=True,
                )
    assert texts == [choice.text for choice in whole.choices]
    assert reasons == ["length"] * 4
    assert usage == whole.usage
    for choice, streamed in zip(whole.choices, tokens, strict=True):
        assert choice.logprobs is not None
        assert streamed == list(
            zip(
                choice.logprobs.tokens or [],
                choice.logprobs.text_offset or [],
                choice.logprobs.token_logprobs or [],
                strict=True,
            )
        )


def test_echo_without_writing_scores_a_text_as_evaluation_harnesses_do(api: openai.OpenAI, server: Server) -> None:
    import httpx

    text = "战争中部队abc"
    answer = api.completions.create(model="tiny", prompt=text, max_tokens=0, echo=True, logprobs=1, temperature=0)
    logprobs = answer.choices[0].logprobs
    assert answer.choices[0].text == text
    assert logprobs is not None
    assert logprobs.tokens == list(text)
    assert logprobs.text_offset == list(range(len(text)))
    assert logprobs.token_logprobs is not None
    assert logprobs.top_logprobs is not None
    first: Any = logprobs.token_logprobs[0]  # of which openai's types say that it is a number
    assert first is None
    scores = httpx.post(f"{server.url}/score", json={"text": text}).json()["characters"]
    assert logprobs.token_logprobs[1:] == [score["logprob"] for score in scores]
    for score, top in zip(scores, logprobs.top_logprobs[1:], strict=True):
        (best,) = top.values()
        assert best >= score["logprob"]
        assert (best == score["logprob"]) == (score["rank"] == 1)


def test_echoed_prompts_are_scored_together_with_each_other_and_read_once(
    models_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    waiting: list[int] = []
    prepared: list[str] = []
    with client_of(models_dir) as client:
        served = service_behind(client).registry.get("tiny")
        prepare, submit_score = served.lm.prepare, served.scheduler.submit_score
        scoring: list[Reply[Measured]] = []

        def submitted(request: ScoreRequest) -> Reply[Measured]:
            waiting.append(sum(not generation.done for generation in scoring))
            scoring.append(submit_score(request))
            return scoring[-1]

        def counted(prefix: str, unknown: str = "error", field: str = "prefix") -> Any:
            prepared.append(prefix)
            return prepare(prefix, unknown, field)

        monkeypatch.setattr(served.scheduler, "submit_score", submitted)
        monkeypatch.setattr(served.lm, "prepare", counted)
        asked = ["分开", "战争中部队", "abc", "A"]
        body = {"model": "tiny", "prompt": asked, "echo": True, "logprobs": 2, "max_tokens": 5, "seed": 1}
        choices = client.post("/v1/completions", json=body).json()["choices"]
        assert waiting == [0, 1, 2, 3]
        assert prepared == asked
        for prompt, choice in zip(asked, choices, strict=True):
            alone = client.post("/v1/completions", json={**body, "prompt": prompt}).json()["choices"][0]
            assert {**choice, "index": 0} == alone
            assert choice["logprobs"]["token_logprobs"][0] is None
            assert len(choice["logprobs"]["tokens"]) == len(prompt) + 5


@pytest.mark.parametrize("stream", [False, True])
def test_a_stop_string_that_cannot_be_written_is_named(api: openai.OpenAI, stream: bool) -> None:
    fields: dict[str, Any] = {"model": "tiny", "prompt": "a", "stop": ["\n", "zz"], "seed": 1}
    if not stream:
        answer = api.completions.create(**fields)
        assert answer.model_extra == {"unmatchable_stops": ["\n"]}
    else:
        *_, last = api.completions.create(**fields, stream=True)
        assert (last.choices[0].finish_reason, last.model_extra) == ("length", {"unmatchable_stops": ["\n"]})
    assert "unmatchable_stops" not in (api.completions.create(**{**fields, "stop": "zz"}).model_extra or {})


def test_a_stop_string_ends_the_text(api: openai.OpenAI) -> None:
    fields: dict[str, Any] = {"model": "tiny", "prompt": "分开", "max_tokens": 60, "seed": 3}
    whole = api.completions.create(**fields).choices[0].text
    for stop in (whole[30:32], [whole[30:32], "zzzz"]):
        choice = api.completions.create(**fields, stop=stop).choices[0]
        assert choice.text == whole[: whole.index(whole[30:32])]
        assert choice.finish_reason == "stop"


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"prompt": "本"}, "prompt"),
        ({"prompt": []}, "prompt"),
        ({"prompt": [1, 2]}, "prompt"),
        ({"max_tokens": -1}, "max_tokens"),
        ({"max_tokens": 10**6}, "max_tokens"),
        ({"temperature": 9}, "temperature"),
        ({"logprobs": 6}, "logprobs"),
        ({"presence_penalty": 0.5}, "presence_penalty"),
        ({"frequency_penalty": -0.5}, "frequency_penalty"),
        ({"best_of": 2}, "best_of"),
        ({"stop": ["a"] * 5}, "stop"),
        ({"stream_options": {"include_usage": True}}, None),
    ],
)
def test_a_bad_request_is_400_in_openais_shape(api: openai.OpenAI, fields: dict[str, Any], param: str | None) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        api.completions.create(**{"model": "tiny", "prompt": "a", **fields})
    assert isinstance(caught.value.body, dict)
    assert caught.value.body["type"] == "invalid_request_error"
    if param is not None:
        assert str(caught.value.body["param"]).startswith(param)
        assert param in str(caught.value.body["message"])


def test_there_is_no_such_model(api: openai.OpenAI) -> None:
    with pytest.raises(openai.NotFoundError) as caught:
        api.completions.create(model="gpt", prompt="a")
    assert caught.value.code == "model_not_found"


def test_models_are_listed(api: openai.OpenAI) -> None:
    assert [m.id for m in api.models.list()] == ["other", "tiny"]
    assert api.models.retrieve("tiny").owned_by == "nextchar"


def test_a_wrong_key_is_an_authentication_error(models_dir: Path, tmp_path: Path) -> None:
    with Server(tmp_path, models_dir, NEXTCHAR_API_KEYS="the-right-key-of-all") as server:
        for key in ("the-right-key-of-all", "wrong-key"):
            with openai.OpenAI(base_url=f"{server.url}/v1", api_key=key, max_retries=0) as client:
                if key == "the-right-key-of-all":
                    assert client.completions.create(model="tiny", prompt="a").choices
                else:
                    with pytest.raises(openai.AuthenticationError):
                        client.completions.create(model="tiny", prompt="a")
