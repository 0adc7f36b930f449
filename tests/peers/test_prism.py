"""Prism between clients and the service: it holds every request and every answer to the OpenAPI document."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.app.conftest import Server
from tests.peers import downloads
from tests.peers.conftest import HOST, WITH_KEY, every_example
from tests.peers.running import Running, free_port
from tests.programs import require

pytestmark = pytest.mark.peers

Question = tuple[str, str, Any]  # method, target and the body as JSON

EXAMPLES: list[Question] = [
    (example.method, example.target, json.loads(example.body) if example.body else None) for example in every_example()
]
NOT_IN_THE_DOCUMENT = ("/", "/web/main.js", "/docs", "/problems", "/problems/invalid-field", "/openapi.json")
GENERATE: list[dict[str, Any]] = [
    {"prefix": "a"},
    {"prefix": "分开", "num_chars": 5, "temperature": 0.7, "top_k": 3, "top_p": 0.9, "seed": 1},
    {"prefix": "a", "num_chars": 9, "stop": ["b", "中"], "n": 3, "logprobs": 2, "temperature": 1},
    {"prefix": "a", "num_chars": 9, "stop": "b", "model": "other"},
    {"prefix": "aé", "num_chars": 2, "unknown": "skip", "return_state": True},
    {"prefix": "a", "num_chars": 9, "stream": True},
    {"prefix": "a", "num_chars": 9, "stream": True, "n": 2, "logprobs": 0, "temperature": 1, "return_state": True},
]
SCORE: list[dict[str, Any]] = [
    {"text": "a"},
    {"text": "ab分开", "model": "other"},
    {"text": "abé", "unknown": "skip"},
]
COMPLETIONS: list[dict[str, Any]] = [
    {"model": "tiny", "prompt": "a"},
    {"model": "tiny", "prompt": ["a", "b"], "n": 2, "max_tokens": 4, "logprobs": 3, "echo": True, "stop": ["b"]},
    {"model": "other", "prompt": "a", "max_tokens": 0, "echo": True, "logprobs": 0},
    {"model": "tiny", "prompt": "a", "temperature": 0, "top_p": 0.5, "seed": 3, "user": "somebody", "stop": "b"},
    {"model": "tiny", "prompt": "a", "max_tokens": 4, "stream": True},
    {"model": "tiny", "prompt": "a", "stream": True, "stream_options": {"include_usage": True}, "logprobs": 1},
]
DOCUMENTED = [question for question in EXAMPLES if question[1] not in NOT_IN_THE_DOCUMENT]
VALID: list[Question] = [
    *DOCUMENTED,
    ("GET", "/generate?prefix=a&num_chars=4&stop=b&stop=c&temperature=0.5&seed=1&n=2&logprobs=1", None),
    ("GET", "/generate?prefix=a&num_chars=4&stream=true", None),
    ("GET", "/generate?prefix=a&num_chars=4&return_state=true&unknown=skip&top_k=2&top_p=0.5&model=other", None),
    ("GET", "/models/other", None),
    ("GET", "/v1/models/other", None),
    *(("POST", "/generate", body) for body in GENERATE),
    *(("POST", "/score", body) for body in SCORE),
    *(("POST", "/v1/completions", body) for body in COMPLETIONS),
]
REFUSED: list[tuple[int, Question, dict[str, str]]] = [
    *((401, question, {}) for question in DOCUMENTED if question[1] not in ("/healthz", "/readyz")),
    (401, ("GET", "/models", None), {"X-API-Key": "a wrong one"}),
    (404, ("GET", "/models/absent", None), WITH_KEY),
    (404, ("GET", "/v1/models/absent", None), WITH_KEY),
    (404, ("POST", "/generate", {"prefix": "a", "model": "absent"}), WITH_KEY),
    (404, ("POST", "/score", {"text": "a", "model": "absent"}), WITH_KEY),
    (404, ("POST", "/v1/completions", {"prompt": "a", "model": "absent"}), WITH_KEY),
    (422, ("GET", "/generate?prefix=a&num_chars=-1", None), WITH_KEY),
    (422, ("GET", "/generate?prefix=a&absent=1", None), WITH_KEY),
    (422, ("POST", "/generate", {"prefix": 5}), WITH_KEY),
    (422, ("POST", "/generate", {"prefix": "é", "stream": True}), WITH_KEY),
    (422, ("POST", "/score", {}), WITH_KEY),
    (400, ("POST", "/v1/completions", {"prompt": "a"}), WITH_KEY),
    (400, ("POST", "/v1/completions", {"model": "tiny", "prompt": "a", "presence_penalty": 1}), WITH_KEY),
    (415, ("POST", "/score", "ab"), {**WITH_KEY, "Content-Type": "text/plain"}),
    (413, ("POST", "/score", {"text": "a" * 1_100_000}), WITH_KEY),
    (403, ("POST", "/generate", {"prefix": "a"}), {**WITH_KEY, "Origin": "http://elsewhere.test"}),
    (403, ("GET", "/models", None), {**WITH_KEY, "Origin": "http://elsewhere.test"}),
    (403, ("GET", "/v1/models", None), {**WITH_KEY, "Origin": "http://elsewhere.test"}),
]


def name(question: Question) -> str:
    method, target, body = question
    return f"{method} {target} {'' if body is None else json.dumps(body)[:100]}"


class Prism(Running):
    def __init__(self, folder: Path, service: Server, *options: str) -> None:
        node, program, port = require("node"), downloads.require("prism"), free_port()
        answer = httpx.get(f"{service.url}/openapi.json", headers=WITH_KEY)
        answer.raise_for_status()
        document = folder / "openapi.json"
        document.write_bytes(answer.content)
        arguments = ["proxy", str(document), service.url, "--host", "127.0.0.1", "--port", str(port), *options]
        super().__init__([node, str(program), *arguments], port, folder / "prism.log")

    def ask(self, question: Question, headers: dict[str, str]) -> httpx.Response:
        method, target, body = question
        head = {"Host": HOST, **({} if body is None else {"Content-Type": "application/json"}), **headers}
        content = None if body is None else json.dumps(body).encode()
        return httpx.request(method, self.url + target, content=content, headers=head, timeout=60)


@pytest.fixture(scope="module")
def strict(keyed: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prism]:
    """Answers 422 or 500 itself where a request or an answer is not as the document says."""
    with Prism(tmp_path_factory.mktemp("strict"), keyed, "--errors") as running:
        yield running


@pytest.fixture(scope="module")
def lenient(keyed: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prism]:
    """Lets bad requests pass, and lists beside the answer what is not as the document says."""
    with Prism(tmp_path_factory.mktemp("lenient"), keyed) as running:
        yield running


def violations(answer: httpx.Response) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(answer.headers.get("sl-violations", "[]"))
    return found


@pytest.mark.parametrize("question", VALID, ids=name)
def test_a_valid_request_and_its_answer_are_as_the_document_says(strict: Prism, question: Question) -> None:
    answer = strict.ask(question, WITH_KEY)
    assert "x-request-id" in answer.headers, answer.text  # it was not Prism that answered
    assert answer.status_code == 200, answer.text
    assert violations(answer) == []


@pytest.mark.parametrize(("status", "question", "headers"), REFUSED, ids=[f"{s} {name(q)}" for s, q, _ in REFUSED])
def test_a_refusal_is_as_the_document_says(
    lenient: Prism, status: int, question: Question, headers: dict[str, str]
) -> None:
    answer = lenient.ask(question, headers)
    assert "x-request-id" in answer.headers, answer.text
    assert answer.status_code == status, answer.text
    assert [found for found in violations(answer) if found["location"][0] == "response"] == []


def test_a_form_and_its_answer_are_as_the_document_says(strict: Prism) -> None:
    """Prism keeps the last of several fields of one name, so `stop` is left out."""
    form = {"prefix": "a b", "num_chars": "4", "temperature": "0.5", "seed": "1", "return_state": "true"}
    answer = httpx.post(f"{strict.url}/generate", data=form, headers={"Host": HOST, **WITH_KEY}, timeout=60)
    assert "x-request-id" in answer.headers, answer.text
    assert answer.status_code == 200, answer.text
    assert violations(answer) == []


def test_a_request_that_the_document_does_not_allow_is_found(strict: Prism) -> None:
    """The document says what the service refuses."""
    for question in [("GET", "/generate?prefix=a&num_chars=-1", None), ("POST", "/score", {"text": 5})]:
        answer = strict.ask(question, WITH_KEY)
        assert answer.status_code == 422
        assert answer.json()["type"].startswith("https://stoplight.io/prism/errors#UNPROCESSABLE")


@pytest.mark.parametrize("target", NOT_IN_THE_DOCUMENT)
def test_what_the_document_leaves_out_is_for_browsers(strict: Prism, target: str) -> None:
    assert strict.ask(("GET", target, None), WITH_KEY).json()["type"].endswith("#NO_PATH_MATCHED_ERROR")
