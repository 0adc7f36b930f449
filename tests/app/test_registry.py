from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from model import checkpoint as checkpoints
from model.checkpoint import FILE_NAME
from model.prediction import predict_rnn
from tests.app.conftest import client_of
from tests.conftest import random_checkpoint


def save(folder: Path, seed: int = 0) -> None:
    checkpoints.save(folder, random_checkpoint("gru", seed=seed, scale=4.0))


def eventually(holds: Callable[[], Any], seconds: float = 20.0) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, "it did not come true"
        time.sleep(0.02)


def model(client: TestClient, name: str) -> dict[str, Any]:
    body: dict[str, Any] = client.get(f"/models/{name}").json()
    return body


def test_a_model_is_described_with_its_record_and_what_runs_it(client: TestClient, models_dir: Path) -> None:
    listed = client.get("/models").json()["models"]
    assert [m["name"] for m in listed] == ["other", "tiny"]
    tiny = model(client, "tiny")
    assert tiny == listed[1]
    assert tiny["digest"] == checkpoints.load(models_dir / "tiny").digest
    assert tiny["config"]["cell"] == "lstm"
    assert tiny["config"]["newlines"] == "space"
    assert tiny["training"] == {"corpus": "random weights"}
    assert (tiny["engine"], tiny["device"], tiny["ready"], tiny["default"]) == ("onnxruntime", "cpu", True, True)


@pytest.mark.parametrize("name", ["nothing", "%2e%2e", "..%2ftiny", "tiny%00", "a" * 5000])
def test_a_name_that_is_no_models_is_404(client: TestClient, name: str) -> None:
    assert client.get(f"/models/{name}").status_code == 404
    assert client.get("/generate", params={"prefix": "a", "model": name}).status_code in (404, 422)


def test_a_model_that_does_not_verify_is_named_and_does_not_stop_the_others(tmp_path: Path) -> None:
    save(tmp_path / "good")
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / FILE_NAME).write_bytes(b"rubbish")
    (tmp_path / "Not a Name").mkdir()
    (tmp_path / "empty").mkdir()
    with client_of(tmp_path, default_model=None) as client:
        assert [m["name"] for m in client.get("/models").json()["models"]] == ["bad", "good"]
        assert "is not a safetensors file" in model(client, "bad")["problem"]
        ready = client.get("/readyz")
        assert ready.status_code == 200
        assert ready.json()["models"] == ["good"]
        assert "is not a safetensors file" in ready.json()["problems"]["bad"]
        assert client.get("/generate", params={"prefix": "a", "model": "good"}).status_code == 200
        refused = client.get("/generate", params={"prefix": "a", "model": "bad"})
        assert refused.status_code == 503
        assert "not a safetensors file" in refused.json()["detail"]


def test_without_a_default_a_model_must_be_named_unless_there_is_only_one(tmp_path: Path) -> None:
    save(tmp_path / "one")
    with client_of(tmp_path, default_model=None) as client:
        assert client.get("/generate", params={"prefix": "a"}).json()["model"] == "one"
    save(tmp_path / "two")
    with client_of(tmp_path, default_model=None) as client:
        refused = client.get("/generate", params={"prefix": "a"})
        assert refused.status_code == 404
        assert "there are: one, two" in refused.json()["detail"]


def test_with_no_model_at_all_the_service_lives_and_is_not_ready(tmp_path: Path) -> None:
    with client_of(tmp_path / "nothing", default_model=None) as client:
        assert client.get("/healthz").status_code == 200
        ready = client.get("/readyz")
        assert ready.status_code == 503
        assert ready.headers["retry-after"] == "5"
        assert "train one" in client.get("/generate", params={"prefix": "a"}).json()["detail"]


def test_new_changed_broken_and_removed_checkpoints_are_picked_up_while_running(tmp_path: Path) -> None:
    save(tmp_path / "one", seed=1)
    with client_of(tmp_path, default_model=None, reload_s=0.1) as client:

        def writes(name: str, seed: int) -> bool:
            answer = client.get("/generate", params={"prefix": "a", "model": name, "num_chars": 20})
            expected = predict_rnn("a", 20, random_checkpoint("gru", seed=seed, scale=4.0))
            return answer.status_code == 200 and answer.json()["text"] == expected

        assert writes("one", 1)
        save(tmp_path / "two", seed=2)
        eventually(lambda: writes("two", 2))
        save(tmp_path / "one", seed=3)
        eventually(lambda: writes("one", 3))
        (tmp_path / "one" / FILE_NAME).write_bytes(b"torn")
        eventually(lambda: model(client, "one")["problem"])
        assert writes("one", 3)  # what does not verify replaces nothing
        save(tmp_path / "one", seed=4)
        eventually(lambda: writes("one", 4))
        assert model(client, "one")["problem"] is None
        shutil.rmtree(tmp_path / "two")
        eventually(lambda: client.get("/models/two").status_code == 404)


def test_what_is_being_written_finishes_on_the_weights_it_began_with(tmp_path: Path) -> None:
    save(tmp_path / "one", seed=1)
    with client_of(tmp_path, default_model=None, reload_s=0.05, max_num_chars=10**6) as client:
        answers: list[str] = []

        def long() -> None:
            answers.append(client.get("/generate", params={"prefix": "a", "num_chars": 100_000}).json()["text"])

        thread = threading.Thread(target=long)
        before = model(client, "one")["digest"]
        thread.start()
        eventually(lambda: client.app.state.service.registry.get("one").scheduler.decoding)  # type: ignore[attr-defined]
        save(tmp_path / "one", seed=2)
        eventually(lambda: model(client, "one")["digest"] != before)
        assert not answers, "the text was done before the weights changed: make it longer"
        thread.join()
        assert answers[0][:200] == predict_rnn("a", 199, random_checkpoint("gru", seed=1, scale=4.0))
        assert len(answers[0]) == 100_001
