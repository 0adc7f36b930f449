from __future__ import annotations

from http import HTTPStatus
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from app.native.fields import GenerateBody, GenerateQuery
from app.wire.openapi import problem_responses


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


@pytest.mark.parametrize(("given_", "stops"), [("ab", ["ab"]), (["ab"], ["ab"]), (["a", "b"], ["a", "b"]), ([], [])])
def test_one_stop_is_a_list_of_one_in_json(given_: Any, stops: list[str]) -> None:
    assert GenerateBody(stop=given_).stop == stops


@pytest.mark.parametrize("wrong", ["", 7, None, {"a": 1}, [[]], ["a"] * 5, ["a" * 101]])
def test_what_is_no_list_of_stops_is_refused(wrong: Any) -> None:
    with pytest.raises(ValidationError):
        GenerateBody(stop=wrong)


def test_a_route_declares_a_problem_for_each_status() -> None:
    statuses = [400, 401, 403, 404, 409, 413, 415, 422, 429, 503]
    declared = problem_responses(*statuses)
    assert list(declared) == statuses
    for status, response in declared.items():
        assert response["content"] == {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
        assert response["description"][0].isupper()
        assert response["description"] != HTTPStatus(int(status)).phrase
    assert len({response["description"] for response in declared.values()}) == len(statuses)
    assert problem_responses(404) == {404: declared[404]}
    with pytest.raises(KeyError):
        problem_responses(418)
