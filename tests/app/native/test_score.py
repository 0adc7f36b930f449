from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient

from model import checkpoint as checkpoints
from tests.app.conftest import client_of, service_behind
from tests.book import book_forward


def test_the_scores_are_the_books_in_float64(client: TestClient, models_dir: Path) -> None:
    checkpoint = checkpoints.load(models_dir / "tiny")
    text = "战争中部队 abc"
    body = client.post("/score", json={"text": text}).json()
    parameters = {name: array.astype(np.float64) for name, array in checkpoint.parameters.items()}
    indices = checkpoint.vocabulary.encode(text)
    Y, _ = book_forward(checkpoint.config, parameters, indices[None, :])
    logits = Y[:-1, 0]
    logprobs = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
    expected = logprobs[np.arange(len(text) - 1), indices[1:]]
    assert [c["character"] for c in body["characters"]] == list(text[1:])
    np.testing.assert_allclose([c["logprob"] for c in body["characters"]], expected, atol=1e-4)
    np.testing.assert_allclose(
        [c["entropy"] for c in body["characters"]], -(np.exp(logprobs) * logprobs).sum(axis=1), atol=1e-4
    )
    assert [c["rank"] for c in body["characters"]] == [
        1 + int((row > row[i]).sum()) for row, i in zip(logits, indices[1:], strict=True)
    ]
    assert body["total"] == pytest.approx(expected.sum(), abs=1e-3)
    assert body["mean"] == pytest.approx(expected.mean(), abs=1e-4)
    assert body["perplexity"] == pytest.approx(math.exp(-body["mean"]))
    assert body["bits_per_char"] == pytest.approx(-body["mean"] / math.log(2))


def test_a_single_character_has_nothing_to_score(client: TestClient) -> None:
    body = client.post("/score", json={"text": "a"}).json()
    assert (body["characters"], body["total"], body["mean"], body["perplexity"]) == ([], 0, 0, 1)
    assert math.copysign(1, body["bits_per_char"]) == 1
    assert (body["text"], body["model"]) == ("a", "tiny")


def test_unknown_characters_follow_the_rule_of_generate(client: TestClient) -> None:
    refused = client.post("/score", json={"text": "a本"})
    assert refused.status_code == 422
    assert refused.json()["errors"][0] == {
        "field": "text",
        "message": "the model has never seen this character: '本' (U+672C) at position 1",
        "unknown": [{"character": "本", "positions": [1]}],
    }
    assert client.post("/score", json={"text": "a本b", "unknown": "skip"}).json()["text"] == "ab"


def test_the_model_that_is_named_scores(client: TestClient) -> None:
    text = {"text": "战争 abc"}
    own, other = (client.post("/score", json={**text, "model": name}).json() for name in ("tiny", "other"))
    assert (own["model"], other["model"]) == ("tiny", "other")
    assert own["total"] != other["total"]
    assert own == client.post("/score", json=text).json()
    assert client.post("/score", json={**text, "model": "none"}).status_code == 404


def test_a_refusal_names_the_text_and_what_is_allowed(models_dir: Path) -> None:
    with client_of(models_dir, max_prefix_chars=5000, max_answer_mb=1) as client:
        for text, words in (("a" * 5001, ["5001", "5000"]), ("本", ["character"])):
            problem = client.post("/score", json={"text": text, "unknown": "skip"}).json()
            assert (problem["status"], problem["errors"][0]["field"]) == (422, "text")
            assert all(word in problem["detail"] for word in ["text", *words])
        assert len(client.post("/score", json={"text": "a" * 5000}).json()["characters"]) == 4999
    with client_of(models_dir, max_answer_mb=1) as client:
        problem = client.post("/score", json={"text": "a" * 8000}).json()
        assert (problem["status"], problem["errors"][0]["field"]) == (422, "text")
        assert "memory" in problem["detail"]


def test_a_score_takes_its_callers_turn_and_has_the_time_limit(
    models_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with client_of(models_dir, request_timeout_s=17) as client:
        scheduler = service_behind(client).registry.get("tiny").scheduler
        submit, seen = scheduler.submit_score, []

        def submit_score(request: Any) -> Any:
            seen.append(request)
            return submit(request)

        monkeypatch.setattr(scheduler, "submit_score", submit_score)
        assert client.post("/score", json={"text": "ab"}).status_code == 200
        assert [(request.caller, request.timeout_s, request.alternatives) for request in seen] == [
            ("testclient", 17, 0)
        ]


@pytest.mark.parametrize("body", [{}, {"text": ""}, {"text": 1}, {"text": "a" * 10_001}, {"text": "a", "seed": 1}])
def test_a_bad_body_is_422(client: TestClient, body: dict[str, object]) -> None:
    assert client.post("/score", json=body).status_code == 422


def test_a_form_is_read_too(client: TestClient) -> None:
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    answer = client.post("/score", content="text=分开&unknown=skip".encode(), headers=form)
    assert answer.json() == client.post("/score", json={"text": "分开"}).json()
    assert "text: is given more than once" in client.post("/score", content=b"text=a&text=b", headers=form).text


def test_an_empty_body_lacks_the_text(client: TestClient) -> None:
    assert client.post("/score").json()["detail"] == "text: is missing"
