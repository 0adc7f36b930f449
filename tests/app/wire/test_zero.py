"""No number of an answer is −0: a client that writes it as text would show a sign that means nothing."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from fastapi.testclient import TestClient

from model import checkpoint as checkpoints
from tests.app.conftest import client_of
from tests.models import random_checkpoint


@pytest.fixture(scope="module")
def certain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    """A model that is so sure of each character that its probability is exactly 1, and one that knows one character."""
    folder = tmp_path_factory.mktemp("certain")
    checkpoints.save(folder / "tiny", random_checkpoint("rnn", 1, 16, scale=1e5))
    checkpoints.save(folder / "one", random_checkpoint("rnn", 1, 16, characters="a"))
    with client_of(folder) as client:
        yield client


@pytest.mark.parametrize("name", ["tiny", "one"])
def test_what_is_certain_has_the_logarithm_zero_without_a_sign(certain: TestClient, name: str) -> None:
    asked: list[tuple[str, dict[str, Any]]] = [
        ("/generate", {"prefix": "a", "num_chars": 30, "logprobs": 2}),
        ("/generate", {"prefix": "a", "num_chars": 30, "logprobs": 2, "stream": True}),
        ("/score", {"text": "a"}),
        ("/score", {"text": "aaa"}),
        ("/v1/completions", {"prompt": "a", "echo": True, "logprobs": 2, "temperature": 0}),
        ("/v1/completions", {"prompt": "a", "echo": True, "logprobs": 2, "temperature": 0, "stream": True}),
        ("/v1/completions", {"prompt": "aa", "echo": True, "logprobs": 2, "max_tokens": 0}),
    ]
    for path, fields in asked:
        answer = certain.post(path, json={"model": name, **fields})
        assert answer.status_code == 200, answer.text
        assert "-0.0" not in answer.text
        assert '"logprob":0.0' in answer.text or path != "/generate"
    written = certain.post("/generate", json={"model": name, "prefix": "a", "num_chars": 30}).json()["text"]
    score = certain.post("/score", json={"model": name, "text": written})
    assert "-0.0" not in score.text
    assert {c["logprob"] for c in json.loads(score.text)["characters"]} == {0.0}
    assert [score.json()[field] for field in ("total", "mean", "bits_per_char")] == [0.0] * 3
