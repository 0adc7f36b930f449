from __future__ import annotations

import json
from http import HTTPStatus
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from pydantic import BaseModel
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request

from app import refusals
from app.refusals import (
    AnswersFull,
    Cancelled,
    CannotServe,
    DeadlineExceeded,
    Draining,
    NoSuchModel,
    NotReady,
    QueueFull,
    Refusal,
    StepFailed,
)
from app.wire.handlers import install
from app.wire.json import dump
from app.wire.problem_types import BY_NAME
from app.wire.problems import (
    ProblemError,
    field_problem,
    from_domain,
    name_field,
    openai_body,
    problem_body,
    problem_of,
    respond,
)
from app.wire.validation import MAX_FIELD_ERRORS, from_validation
from model.errors import CheckpointError, NextcharError, OptionError, UnknownCharactersError, show


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


def test_a_problem_in_full() -> None:
    errors = [{"field": "n", "message": "so"}]
    problem = ProblemError(422, "n: so", errors=errors, retry_after_s=0, headers={"X-A": "b"}, code="c")
    assert (problem.status, problem.detail, problem.errors, problem.code) == (422, "n: so", errors, "c")
    assert problem.headers == {"X-A": "b", "Retry-After": "0"}
    about = {"title": BY_NAME["invalid-field"].title, "status": 422, "detail": "n: so", "errors": errors}
    assert problem_body(problem) == {**about, "type": "/problems/invalid-field"}
    assert problem_body(problem, "/texts") == {**about, "type": "/texts/problems/invalid-field"}
    assert str(problem) == f"422 {HTTPStatus(422).phrase}"  # what was sent is not in it
    bare = ProblemError(499, "gone")
    assert (bare.errors, bare.headers, bare.code) == ([], {}, None)
    assert problem_body(bare) == {
        "type": "about:blank", "title": "Client Closed Request", "status": 499, "detail": "gone",
    }  # fmt: skip
    assert openai_body(bare)["error"] == {
        "message": "gone", "type": "invalid_request_error", "param": None, "code": None,
    }  # fmt: skip
    assert field_problem("n", "so").errors == errors
    assert (field_problem("n", "so").status, field_problem("n", "so").detail) == (422, "n: so")


def test_the_models_errors_name_their_field_and_at_most_a_thousand_of_each_kind() -> None:
    positions = {chr(0x4E00 + i): list(range(1500)) for i in range(1200)}
    error = UnknownCharactersError(positions)
    [item] = from_domain(error).errors
    assert (from_domain(error).status, from_domain(error).code) == (422, "unknown_characters")
    assert (item["field"], item["message"], from_domain(error).detail) == ("prefix", str(error), str(error))
    assert item["unknown"] == [
        {"character": character, "positions": list(range(1000))} for character in [*positions][:1000]
    ]
    option = OptionError("top_k", "0 is below 1")
    [item] = from_domain(option).errors
    assert (from_domain(option).status, from_domain(option).detail) == (422, str(option))
    assert item == {"field": "top_k", "message": "0 is below 1"}
    assert from_domain(CheckpointError("the file ends early")).detail == "the file ends early"
    other = from_domain(NextcharError("something else"))
    assert (other.status, other.detail, other.errors) == (422, "something else", [])


REFUSALS: list[tuple[Refusal, int, str | None, str | None]] = [
    (NoSuchModel("why"), 404, "model_not_found", None),
    (CannotServe("why"), 503, None, "5"),
    (QueueFull("why"), 429, "queue_full", "1"),
    (AnswersFull("why"), 429, "queue_full", "1"),
    (StepFailed("why"), 500, None, None),
    (DeadlineExceeded("why"), 503, "timeout", "1"),
    (NotReady("why"), 503, None, "5"),
    (Draining("why"), 503, None, "5"),
    (Cancelled("why"), 503, None, "1"),
]


@pytest.mark.parametrize(("error", "status", "code", "retry_after"), REFUSALS)
def test_a_refusal_is_an_answer_that_says_when_to_ask_again(
    error: Refusal, status: int, code: str | None, retry_after: str | None
) -> None:
    problem = problem_of(error)
    assert (problem.status, problem.code, problem.detail) == (
        status,
        code,
        "model: why" if isinstance(error, NoSuchModel) else "why",
    )
    assert problem.headers == ({} if retry_after is None else {"Retry-After": retry_after})
    assert problem.errors == ([{"field": "model", "message": "why"}] if isinstance(error, NoSuchModel) else [])


REFUSED_AS = {
    NoSuchModel: "model-not-found", QueueFull: "queue-full", AnswersFull: "queue-full", StepFailed: "server-error",
    DeadlineExceeded: "timeout",
}  # fmt: skip


@pytest.mark.parametrize("error", [error for error, *_ in REFUSALS])
def test_a_refusals_type_says_whether_and_how_to_ask_again(error: Refusal) -> None:
    body = problem_body(problem_of(error))
    assert body["type"] == f"/problems/{REFUSED_AS.get(type(error), 'unavailable')}"


def test_every_refusal_is_tried_above() -> None:
    kinds = {kind for kind in vars(refusals).values() if isinstance(kind, type) and issubclass(kind, Refusal)}
    assert kinds - {Refusal} == {type(error) for error, *_ in REFUSALS}


def test_whoever_found_it_a_field_is_named_once_in_the_detail_and_not_in_its_message() -> None:
    message = "has 4 characters; this server allows 3"
    found = {"loc": ("prefix",), "type": "value_error", "msg": message, "input": 4}
    for problem in (from_domain(OptionError("prefix", message)), field_problem("prefix", message)):
        assert (problem.status, problem.detail, problem.code) == (422, f"prefix: {message}", None)
        assert problem.errors == [{"field": "prefix", "message": message}]
    assert from_validation([found]).errors == [{"field": "prefix", "message": f"4: {message}"}]
    assert field_problem("state", message, 409).status == 409
    assert problem_of(NoSuchModel("there is no 'x'")).errors == [{"field": "model", "message": "there is no 'x'"}]


def test_unknown_characters_are_named_with_their_places_a_thousand_at_most() -> None:
    positions = {chr(0x4E00 + i): [i] for i in range(1500)} | {"a": list(range(1500))}
    error = UnknownCharactersError({"a": positions.pop("a"), **positions})
    problem = name_field(error, "prompt")
    assert (problem.status, problem.code) == (422, "unknown_characters")
    assert problem.detail == f"prompt: {error}"
    (item,) = problem.errors
    assert (item["field"], item["message"], len(item["unknown"])) == ("prompt", str(error), 1000)
    assert item["unknown"][0] == {"character": "a", "positions": list(range(1000))}
    assert item["unknown"][1] == {"character": "\u4e00", "positions": [0]}


@pytest.mark.parametrize(
    ("path", "is_openais"), [("/v1/models", True), ("/v1", False), ("/v1beta/x", False), ("/web/v1/", False)]
)
def test_openais_shape_is_that_of_its_paths_alone(path: str, is_openais: bool) -> None:
    body = json.loads(bytes(respond(request(path), ProblemError(404, "nothing")).body))
    assert ("error" in body) is is_openais


@pytest.mark.parametrize(
    ("value", "cut"),
    [
        ("a" * 58, False),
        ("a" * 59, True),
        ("\n" * 9, False),  # each six characters wide: 54 and the quotes
        ("\n" * 10, True),
        (0.1, False),
        (2**256 - 1, True),
        (-(2**190), False),
        (True, False),
    ],
)
def test_sixty_characters_of_a_value_are_shown(value: object, cut: bool) -> None:
    whole = repr(value) if not isinstance(value, str) else "'" + value.replace("\n", "U+000A") + "'"
    assert (len(whole) > 60) is cut
    assert show(value) == (whole[:60] + "…" if cut else whole)


def test_a_number_is_shown_up_to_77_digits() -> None:
    assert show(2**256) == show(-(10**4000)) == "a number of over 77 digits"
    assert len(str(2**256 - 1)) <= 78


@pytest.mark.parametrize(
    ("finding", "error"),
    [
        ({"loc": ("body", "n"), "type": "missing", "input": {}}, ("n", "is missing")),
        ({"loc": ("query", "prfix"), "type": "extra_forbidden", "input": "a"}, ("prfix", "there is no such field")),
        ({"loc": ("stop", 2), "type": "string_type", "msg": "not text", "input": 7}, ("stop.2", "7: not text")),
        ({"loc": (), "type": "value_error", "msg": "Value error, n: too many", "input": [1]},
         ("body", "a list: n: too many")),
        ({"loc": ("body",), "type": "json_invalid", "msg": "x", "input": "{", "ctx": {"error": "an end too early"}},
         ("body", "is not JSON: an end too early")),
        ({"loc": ("body", 7), "type": "json_invalid", "msg": "x", "input": "{", "ctx": {"error": "an end"}},
         ("body", "is not JSON: an end")),
        ({"loc": ("XnX", "XX"), "type": "missing"}, ("XnX.XX", "is missing")),
        ({"loc": ("echo",), "type": "int_type", "msg": "not a number", "input": True}, ("echo", "true: not a number")),
        ({"loc": (), "type": "model_type", "msg": "an instance of Ours", "input": []},
         ("body", "a list: Input should be an object")),
        ({"loc": ("seed",), "type": "int_type", "msg": "not a number"}, ("seed", "null: not a number")),
    ],
)  # fmt: skip
def test_a_finding_names_field_value_and_what_is_allowed(finding: dict[str, Any], error: tuple[str, str]) -> None:
    problem = from_validation([finding])
    assert [(item["field"], item["message"]) for item in problem.errors] == [error]
    assert (problem.status, problem.detail) == (422, f"{error[0]}: {error[1]}")


class Fields(BaseModel):
    number: int


@pytest.fixture(scope="module")
def failing() -> TestClient:
    """Routes that fail in every way there is: the path says how."""
    app = FastAPI()
    install(app)
    errors: dict[str, Exception] = {
        "problem": ProblemError(409, "two of them", headers={"X-Which": "both"}),
        "domain": OptionError("top_k", "0 is below 1"),
        "long": OptionError("prefix", "has 4 characters"),
        "refused": QueueFull("as many wait as may"),
        "nameless": NoSuchModel("there is no 'x'"),
        "deep": RecursionError(),
        "ours": RuntimeError("a secret"),
        "gone": HTTPException(404, "Not Found"),
        "unread": HTTPException(400, "There was an error parsing the body"),
        "other": HTTPException(400, "as it is", {"X-Other": "kept"}),
        "teapot": HTTPException(418, "There was an error parsing the body"),
    }

    async def fails(how: str) -> None:
        raise errors[how]

    async def reads(fields: Fields) -> Fields:
        return fields

    for prefix in ("", "/v1"):
        app.add_api_route(prefix + "/fails/{how}", fails)
        app.add_api_route(prefix + "/reads", reads, methods=["POST"])
        app.add_api_route(prefix + "/reads", reads, methods=["PUT", "PATCH"])
    return TestClient(app, raise_server_exceptions=False)


@pytest.mark.parametrize(
    ("how", "status", "name", "detail"),
    [
        ("problem", 409, "other-weights", "two of them"),
        ("domain", 422, "invalid-field", str(OptionError("top_k", "0 is below 1"))),
        ("long", 422, "invalid-field", "prefix: has 4 characters"),
        ("refused", 429, "queue-full", "as many wait as may"),
        ("nameless", 404, "model-not-found", "model: there is no 'x'"),
        ("deep", 422, "invalid-field", "nested"),
        ("ours", 500, "server-error", "server's own"),
        ("gone", 404, "not-found", "nothing at this address"),
        ("unread", 400, "unreadable-request", "not JSON"),
        ("other", 400, "unreadable-request", "as it is"),
        ("teapot", 418, "", "There was an error parsing the body"),
    ],
)
def test_every_kind_of_error_is_answered_in_both_shapes(
    failing: TestClient, how: str, status: int, name: str, detail: str
) -> None:
    ours, theirs = failing.get(f"/fails/{how}"), failing.get(f"/v1/fails/{how}")
    assert (ours.status_code, ours.headers["content-type"]) == (status, "application/problem+json")
    assert (ours.json()["status"], ours.json()["type"]) == (status, f"/problems/{name}" if name else "about:blank")
    assert ours.json()["title"] == (BY_NAME[name].title if name else HTTPStatus(status).phrase)
    assert detail in ours.json()["detail"]
    assert theirs.status_code == (400 if status in (409, 422) else status)
    assert theirs.json()["error"]["message"] == ours.json()["detail"]
    assert "a secret" not in ours.text + theirs.text


def test_headers_of_an_error_go_out_with_it(failing: TestClient) -> None:
    assert failing.get("/fails/problem").headers["x-which"] == "both"
    assert failing.get("/fails/other").headers["x-other"] == "kept"


def test_what_the_framework_refuses_is_answered_alike(failing: TestClient) -> None:
    wrong = failing.post("/reads", json={"number": "ten"})
    assert (wrong.status_code, wrong.json()["errors"][0]["field"]) == (422, "number")
    json_type = {"Content-Type": "application/json"}
    assert failing.post("/reads", content=b"{", headers=json_type).status_code == 422
    unread = failing.post("/reads", content=b"\xff", headers=json_type)
    assert (unread.status_code, unread.headers["content-type"]) == (400, "application/problem+json")
    assert "not JSON" in unread.json()["detail"]
    assert failing.get("/nothing/here").json()["detail"] == "there is nothing at this address"


def test_a_405_names_the_methods_of_all_routes_of_the_path(failing: TestClient) -> None:
    refused = failing.delete("/reads")
    assert (refused.status_code, refused.headers["allow"]) == (405, "POST, PUT, PATCH, OPTIONS")
    assert "POST, PUT, PATCH, OPTIONS" in refused.json()["detail"]


def test_a_client_that_left_is_not_answered_as_if_its_body_were_bad(
    failing: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def gone(*_: object) -> bytes:
        raise ClientDisconnect

    monkeypatch.setattr("starlette.requests.Request.body", gone)
    assert failing.post("/reads", json={"number": 1}).status_code == 500  # who calls the app knows what to do with it


def test_json_is_compact_and_asks_what_stands_for_a_strange_value() -> None:
    assert dump([1, {"a": {1}}], default=sorted) == b'[1,{"a":[1]}]'
    with pytest.raises(TypeError):
        dump({"a": {1}})
