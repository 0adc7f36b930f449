"""Clients that generators make from the served document get what plain requests get."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.app.conftest import Server
from tests.clients.generated.generators import GENERATORS, redocly, run
from tests.peers.conftest import KEY, WITH_KEY

pytestmark = pytest.mark.peers

ANSWERS = (
    *("by_query", "of_prefix", "of_fields", "logprobs", "posted_by_query", "in_both", "streamed", "scored"),
    *("models", "model", "completed", "refused"),
)


@dataclass(frozen=True)
class Made:
    says: str  # the type checker
    command: list[str]


@pytest.fixture(scope="module", params=["open_to_all", "keyed"])
def service(request: pytest.FixtureRequest) -> Server:
    server: Server = request.getfixturevalue(request.param)
    return server


@pytest.fixture(scope="module")
def document(service: Server, tmp_path_factory: pytest.TempPathFactory) -> Path:
    answer = httpx.get(f"{service.url}/openapi.json", headers=WITH_KEY, timeout=60)
    answer.raise_for_status()
    path = tmp_path_factory.mktemp("document") / "openapi.json"
    path.write_bytes(answer.content)
    return path


@pytest.fixture(scope="module", params=GENERATORS)
def made(request: pytest.FixtureRequest, document: Path, tmp_path_factory: pytest.TempPathFactory) -> Made:
    generator = GENERATORS[request.param]
    folder = tmp_path_factory.mktemp("made")
    generator.make(document, folder)
    return Made(generator.check(folder), generator.command(folder))


@pytest.fixture(scope="module")
def answers(made: Made, service: Server) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(run(*made.command, service.url, KEY).stdout)
    return found


@pytest.fixture(scope="module")
def plain(service: Server) -> dict[str, Any]:
    """The same questions as those of the scripts, asked without a client."""
    with httpx.Client(base_url=service.url, headers=WITH_KEY, timeout=60) as client:
        return plain_answers(client)


def plain_answers(client: httpx.Client) -> dict[str, Any]:
    def generated(**fields: Any) -> Any:
        return client.post("/generate", json=fields).json()

    fields = {"prefix": "a", "num_chars": 20, "temperature": 0.7, "seed": 3, "stop": ["zz"], "n": 2, "logprobs": 1}
    several = generated(**fields)
    text = generated(prefix="a")["text"]
    completion = {"model": "tiny", "prompt": "a", "max_tokens": 6, "temperature": 0}
    card = client.get("/models/other").json()
    refused = client.post("/generate", json={"prefix": "é"}).json()
    return {
        "by_query": generated(prefix="分开", num_chars=12, unknown="skip")["text"],
        "of_prefix": text,
        "of_fields": [[choice["text"], choice["seed"]] for choice in several["choices"]],
        "logprobs": [step["logprob"] for step in several["logprobs"]],
        "posted_by_query": generated(prefix="b", num_chars=9, stop=["zz", "zy"])["text"],
        "in_both": generated(prefix="a", num_chars=7, top_k=5)["text"],
        "streamed": {"names": ["chunk", "done"], "last": "done", "chunks": text[1:], "text": text},
        "scored": client.post("/score", json={"text": "ab分开"}).json()["total"],
        "models": [card["name"] for card in client.get("/models").json()["models"]],
        "model": ["other", card["digest"]],
        "completed": [choice["text"] for choice in client.post("/v1/completions", json=completion).json()["choices"]],
        "refused": [422, refused["type"], ["prefix"]],
    }


def test_its_types_hold(made: Made) -> None:
    assert made.says == ""


@pytest.mark.parametrize("asked", ANSWERS)
def test_it_gets_what_a_plain_request_gets(answers: dict[str, Any], plain: dict[str, Any], asked: str) -> None:
    assert answers[asked] == plain[asked]


def test_a_wrong_key_is_refused_where_one_is_asked_for(answers: dict[str, Any], service: Server) -> None:
    bare = httpx.post(f"{service.url}/generate", json={"prefix": "a"}, timeout=60)
    assert answers["with_wrong_key"] == ([401, bare.json()["type"]] if bare.status_code == 401 else [])


def test_the_document_lints_clean(document: Path) -> None:
    report = json.loads(redocly(document))
    assert report["problems"] == []
    assert report["totals"] == {"errors": 0, "warnings": 0, "ignored": 0}
