from __future__ import annotations

import json

import pytest
from starlette.requests import Request

from app.errors import MAX_FIELD_ERRORS, ProblemError, dump, from_domain, from_validation, respond, show
from model.errors import CheckpointError, OptionError, UnknownCharactersError


def request(path: str) -> Request:
    return Request({"type": "http", "method": "GET", "path": path, "headers": [], "query_string": b""})


@pytest.mark.parametrize(
    ("status", "openais", "kind"),
    [
        (401, 401, "authentication_error"),
        (403, 403, "invalid_request_error"),
        (404, 404, "not_found_error"),
        (409, 400, "invalid_request_error"),
        (413, 400, "invalid_request_error"),
        (415, 415, "invalid_request_error"),
        (422, 400, "invalid_request_error"),
        (429, 429, "rate_limit_error"),
        (499, 499, "invalid_request_error"),
        (500, 500, "server_error"),
        (503, 503, "server_error"),
    ],
)
def test_a_problem_has_the_shape_that_the_routes_clients_know(status: int, openais: int, kind: str) -> None:
    problem = ProblemError(status, "so it is", errors=[{"field": "n", "message": "so"}], retry_after_s=7, code="x")
    ours, theirs = respond(request("/generate"), problem), respond(request("/v1/completions"), problem)
    assert (ours.status_code, ours.media_type, ours.headers["retry-after"]) == (status, "application/problem+json", "7")
    body = json.loads(bytes(ours.body))
    assert (body["status"], body["detail"], body["errors"][0]["field"]) == (status, "so it is", "n")
    assert (theirs.status_code, theirs.media_type) == (openais, "application/json")
    error = json.loads(bytes(theirs.body))["error"]
    assert error == {"message": "so it is", "type": kind, "param": "n", "code": "x"}


def test_the_models_errors_become_answers() -> None:
    unknown = from_domain(UnknownCharactersError({"本": [1, 3]}))
    assert (unknown.status, unknown.errors[0]["unknown"]) == (422, [{"character": "本", "positions": [1, 3]}])
    assert from_domain(OptionError("n", "at least 1")).errors[0]["field"] == "n"
    broken = from_domain(CheckpointError("the file ends early"))
    assert (broken.status, broken.headers["Retry-After"]) == (503, "5")


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("a", "'a'"),
        ("a\x1b[31m\n", "'aU+001B[31mU+000A'"),
        (10**100, "a number of over 77 digits"),
        ([1] * 1000, "a list"),
        ({"a": 1}, "an object"),
        (None, "None"),
    ],
)
def test_a_value_is_shown_short_printable_and_on_one_line(value: object, shown: str) -> None:
    assert show(value) == shown
    assert len(show("a" * 1000)) <= 61


def test_many_wrong_fields_are_not_all_repeated() -> None:
    items = [{"loc": ("body", f"f{n}"), "type": "missing", "msg": "", "input": {}} for n in range(1000)]
    problem = from_validation(items)
    assert len(problem.errors) == MAX_FIELD_ERRORS
    assert problem.detail == "f0: is missing; f1: is missing; f2: is missing"


def test_json_holds_what_utf8_cannot() -> None:
    assert dump({"a": "分"}) == '{"a":"分"}'.encode()
    assert dump({"a": "\ud800"}) == b'{"a":"\\ud800"}'
    with pytest.raises(ValueError, match="Out of range float"):
        dump(float("nan"))
