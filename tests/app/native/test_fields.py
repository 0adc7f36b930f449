from __future__ import annotations

import json
from http import HTTPStatus
from typing import Any

import pytest
from fastapi.testclient import TestClient
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from app.native.fields import GenerateBody, GenerateQuery
from app.wire.openapi import OpenAIErrorBody, openai_responses, problem_responses
from tests.app.conftest import answer_of


@given(st.floats(0, 5, allow_subnormal=False))
def test_a_temperature_is_greedy_or_at_least_a_hundredth(temperature: float) -> None:
    for kind in (GenerateBody, GenerateQuery):
        if temperature == 0 or temperature >= 0.01:
            assert kind(temperature=temperature).temperature == temperature
        else:
            with pytest.raises(ValidationError, match=f"temperature: {temperature!r} .* 0.01"):
                kind(temperature=temperature)


def test_the_bounds_of_a_temperature_are_in_it() -> None:
    assert [GenerateBody(temperature=t).temperature for t in (0.0, 0.01, 5.0)] == [0.0, 0.01, 5.0]
    for outside in (-0.01, 0.009999, 5e-324, 5.01):
        with pytest.raises(ValidationError):
            GenerateBody(temperature=outside)


@pytest.mark.parametrize(
    ("given_", "stops"), [("ab", ["ab"]), (["ab"], ["ab"]), (["a", "b"], ["a", "b"]), ([], []), (None, [])]
)
def test_one_stop_is_a_list_of_one_in_json(given_: Any, stops: list[str]) -> None:
    assert GenerateBody(stop=given_).stop == stops


@pytest.mark.parametrize("wrong", ["", 7, {"a": 1}, [[]], ["a"] * 5, ["a" * 101]])
def test_what_is_no_list_of_stops_is_refused(wrong: Any) -> None:
    with pytest.raises(ValidationError):
        GenerateBody(stop=wrong)


def test_a_route_declares_a_problem_for_each_status() -> None:
    statuses = [401, 403, 404, 408, 409, 413, 415, 421, 422, 429, 500, 503]
    declared = problem_responses(*statuses)
    assert list(declared) == statuses
    for status, response in declared.items():
        assert response["content"] == {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
        assert response["description"][0].isupper()
        assert response["description"] != HTTPStatus(int(status)).phrase
        assert ("Retry-After" in response.get("headers", {})) == (status in (429, 503))
    assert len({response["description"] for response in declared.values()}) == len(statuses)
    assert problem_responses(404) == {404: declared[404]}
    with pytest.raises(KeyError):
        problem_responses(418)


def test_a_route_under_v1_declares_400_for_what_openai_calls_a_bad_request() -> None:
    declared = openai_responses(404, 409, 413, 415, 422, 429)
    assert list(declared) == [404, 400, 415, 429]
    assert {response["model"] for response in declared.values()} == {OpenAIErrorBody}
    assert "Retry-After" in declared[429]["headers"]


# Over a model.


BAD_VALUES = [
    ("num_chars", -1),
    ("num_chars", 0),
    ("num_chars", 1.5),
    ("num_chars", "10"),
    ("num_chars", True),
    ("num_chars", 2**63),
    ("num_chars", int("9" * 400)),
    ("num_chars", 10_001),
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
    assert len(answer_of(client, prefix="a", num_chars=3)["generated"]) == 3


@pytest.mark.parametrize("text", ["NaN", "Infinity", "-Infinity", "1e999"])
def test_a_temperature_that_is_no_number_is_refused(client: TestClient, text: str) -> None:
    content = '{"prefix": "a", "temperature": %s}' % text  # noqa: UP031 - braces
    response = client.post("/generate", content=content, headers={"Content-Type": "application/json"})
    assert response.status_code == 422
    assert "temperature" in response.json()["detail"]
    assert client.get("/generate", params={"prefix": "a", "temperature": text}).status_code == 422


def test_one_stop_string_may_stand_alone_in_json(client: TestClient) -> None:
    whole = answer_of(client, prefix="分开", num_chars=60, temperature=1.0, seed=5)["generated"]
    body = answer_of(client, prefix="分开", num_chars=60, temperature=1.0, seed=5, stop=whole[20:22])
    assert body["generated"] == whole[: whole.index(whole[20:22])]
