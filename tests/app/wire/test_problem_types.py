"""Every problem that the code can make is of a kind that has a page, and no page is of a kind that it cannot make."""

from __future__ import annotations

import ast
import re
from collections import Counter
from collections.abc import Iterator
from http import HTTPStatus

import pytest
from fastapi.testclient import TestClient

from app.refusals import DeadlineExceeded, NoSuchModel, QueueFull, Refusal, StepFailed
from app.wire.problem_types import BY_NAME, PROBLEM_TYPES, ProblemType, type_and_title, type_of
from app.wire.problems import ProblemError, from_domain, problem_body, problem_of
from model.errors import UnknownCharactersError
from tests.app.conftest import ROOT

ROOMS = ("middleware", "native", "openai", "server", "web", "wire")
# Statuses that are declared, and numbers that are none.
ELSE = ("wire/openapi.py", "wire/problem_types.py", "server/binding.py")
ONLY_UNDER_V1 = {"stopping"}  # elsewhere a 503 like others


def sources() -> Iterator[ast.AST]:
    for room in ROOMS:
        for path in sorted((ROOT / "app" / room).rglob("*.py")):
            if not path.as_posix().endswith(ELSE):
                yield from ast.walk(ast.parse(path.read_text("utf-8")))


def test_every_status_that_the_code_knows_has_a_kind_and_the_other_way_round() -> None:
    numbers = {node.value for node in sources() if isinstance(node, ast.Constant) and type(node.value) is int}
    known = {number for number in numbers if number >= 400 and number in HTTPStatus._value2member_map_}
    assert known == {kind.status for kind in PROBLEM_TYPES}


def test_every_code_that_the_code_knows_has_a_kind_and_the_other_way_round() -> None:
    given = {
        keyword.value.value
        for node in sources()
        if isinstance(node, ast.Call)
        for keyword in node.keywords
        if keyword.arg == "code" and isinstance(keyword.value, ast.Constant)
    }
    refused = {problem_of(kind("why")).code for kind in (DeadlineExceeded, NoSuchModel, QueueFull, Refusal, StepFailed)}
    assert given | refused - {None} == {kind.code for kind in PROBLEM_TYPES if kind.code} | ONLY_UNDER_V1


def test_kinds_are_told_apart_by_their_codes_and_statuses() -> None:
    assert max(Counter(kind.name for kind in PROBLEM_TYPES).values()) == 1
    assert max(Counter((kind.status, kind.code) for kind in PROBLEM_TYPES).values()) == 1
    for kind in PROBLEM_TYPES:
        assert re.fullmatch(r"[a-z]+(-[a-z]+)*", kind.name)
        assert type_of(kind.status, kind.code) is kind
        assert type_of(kind.status) is not None
    assert type_of(404) is BY_NAME["not-found"]
    assert type_of(401) is BY_NAME["invalid-api-key"]
    assert type_of(503, "stopping") is type_of(503, None) is BY_NAME["unavailable"]
    assert type_and_title(418) == ("about:blank", "I'm a Teapot")
    assert type_and_title(499) == ("about:blank", "Client Closed Request")  # nobody is left to read it


@pytest.mark.parametrize("kind", PROBLEM_TYPES, ids=lambda kind: kind.name)
def test_the_type_of_every_problem_can_be_opened_and_read(client: TestClient, kind: ProblemType) -> None:
    problem = problem_body(ProblemError(kind.status, kind.example, errors=kind.errors, code=kind.code))
    opened = client.get(problem["type"])
    assert (opened.status_code, opened.headers["content-type"]) == (200, "text/html; charset=utf-8")
    text = re.sub(r"\s+", " ", re.sub(r"<[^>]*>", "", opened.text)).replace("&#x27;", "'").replace("&quot;", '"')
    for said in (problem["title"], str(kind.status), kind.meaning, kind.remedy, f'"detail": "{kind.example}'):
        assert said in text
    for item in kind.errors:
        assert set(item) == set(kind.fields)
    for name, about in kind.fields.items():
        assert f"<code>{name}</code>" in opened.text
        assert about in text
    assert f'href=".{problem["type"]}"' in client.get("/problems").text


def test_an_example_is_what_is_said() -> None:
    unknown = from_domain(UnknownCharactersError({"龘": [1]}))
    kind = BY_NAME["unknown-characters"]
    assert (kind.example, list(kind.errors)) == (unknown.detail, unknown.errors)
    nameless = problem_of(NoSuchModel("there is no 'poems'"))
    kind = BY_NAME["model-not-found"]
    assert (kind.example, list(kind.errors)) == (nameless.detail, nameless.errors)
