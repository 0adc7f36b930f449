"""`/models` and `/models/{name}` tell what a model is, whatever its record holds."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from model import checkpoint as checkpoints
from model.files import read_metadata, serialise
from model.versions import publish
from tests.app.conftest import client_of, eventually
from tests.models import random_checkpoint


def record(training: dict[str, Any], seed: int = 0) -> checkpoints.Checkpoint:
    plain = random_checkpoint(seed=seed)
    return checkpoints.Checkpoint(plain.config, plain.rules, plain.vocabulary, plain.parameters, training)


def strict(text: str) -> Any:
    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is not JSON")

    return json.loads(text, parse_constant=refuse)


def test_a_model_is_described_with_its_record_and_what_runs_it(client: TestClient, models_dir: Path) -> None:
    listed = client.get("/models").json()["models"]
    assert [m["name"] for m in listed] == ["other", "tiny"]
    tiny = client.get("/models/tiny").json()
    assert tiny == {**listed[1], "versions": []}
    assert tiny["digest"] == checkpoints.load(models_dir / "tiny").digest
    assert tiny["config"]["cell"] == "lstm"
    assert tiny["config"]["newlines"] == "space"
    assert tiny["training"] == {"corpus": "random weights"}
    assert (tiny["engine"], tiny["device"], tiny["ready"], tiny["default"]) == ("onnxruntime", "cpu", True, True)


RECORDS: dict[str, dict[str, Any]] = {
    "not finite": {"train_perplexity": float("inf"), "history": [{"loss": float("nan")}, {"loss": float("-inf")}]},
    "huge": {"epochs": 10**4000, "seconds": -(2**200)},
    "deep": {"a": [[[[[[[[[[["b"]]]]]]]]]]]},
    "odd letters": {"corpus": "\x00\x1b[2J\u202e\ufeff\U0001f680"},
    "empty": {},
}


@pytest.fixture(scope="module")
def odd(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("odd")
    for name, training in RECORDS.items():
        checkpoints.save(folder / name.replace(" ", "-"), record(training))
    with client_of(folder, default_model=None) as client:
        yield client


@pytest.mark.parametrize("name", RECORDS)
def test_any_record_is_told_in_json_that_every_reader_can_read(odd: TestClient, name: str) -> None:
    listed = odd.get("/models")
    assert listed.status_code == 200
    one = odd.get(f"/models/{name.replace(' ', '-')}")
    assert one.status_code == 200
    told = strict(one.text)["training"]
    assert told in [m["training"] for m in strict(listed.text)["models"]]
    if name == "not finite":
        assert told == {"train_perplexity": "inf", "history": [{"loss": "nan"}, {"loss": "-inf"}]}
    else:
        assert told == RECORDS[name]


def test_figures_that_json_does_not_have_are_told_as_null(tmp_path: Path) -> None:
    checkpoints.save(tmp_path / "one", record({}))
    file = tmp_path / "one" / checkpoints.FILE_NAME
    metadata = read_metadata(file.read_bytes(), "one")
    metadata["training"] = '{"train_perplexity": Infinity, "history": [{"loss": NaN}, {"loss": -Infinity}]}'
    file.write_bytes(serialise(record({}).parameters, metadata)[0])
    with client_of(tmp_path, default_model=None) as client:
        told = strict(client.get("/models/one").text)["training"]
        assert told == {"train_perplexity": None, "history": [{"loss": None}, {"loss": None}]}


def test_the_versions_that_can_be_restored_are_listed_last_one_first(tmp_path: Path) -> None:
    digests = [
        publish(
            tmp_path / "one", record({"saved_at": f"2026-01-0{n + 1}T00:00:00+00:00", "train_perplexity": figure}, n)
        )
        for n, figure in enumerate([3.5, float("nan"), 2.5])
    ]
    os.utime(tmp_path / "one" / "versions" / f"{digests[0]}.safetensors", (1, 1))
    with client_of(tmp_path, default_model=None) as client:
        one = strict(client.get("/models/one").text)
        assert one["digest"] == digests[2]
        assert one["versions"] == [
            {"digest": digests[1], "saved_at": "2026-01-02T00:00:00+00:00", "train_perplexity": None,
             "validation_perplexity": None, "problem": None},
            {"digest": digests[0], "saved_at": "2026-01-01T00:00:00+00:00", "train_perplexity": 3.5,
             "validation_perplexity": None, "problem": None},
        ]  # fmt: skip
        assert "versions" not in client.get("/models").json()["models"][0]


def test_a_model_that_cannot_serve_lists_what_could_be_restored(tmp_path: Path) -> None:
    for seed in (0, 1):
        publish(tmp_path / "one", record({}, seed))
    (tmp_path / "one" / checkpoints.FILE_NAME).write_bytes(b"torn")
    with client_of(tmp_path, default_model=None) as client:
        one = client.get("/models/one").json()
        assert not one["ready"]
        assert len(one["versions"]) == 1


@pytest.mark.parametrize("saved_at", ["9999-12-31T23:59:59-23:59", "0001-01-01T00:00:00+23:59", "yesterday", 1e300])
def test_a_version_of_a_time_outside_the_calendar_is_no_500(tmp_path: Path, saved_at: Any) -> None:
    for seed in (0, 1):
        publish(tmp_path / "one", record({"saved_at": saved_at}, seed))
    with client_of(tmp_path, default_model=None) as client:
        answer = client.get("/models/one")
        assert answer.status_code == 200
        assert len(answer.json()["versions"]) == 1


def test_a_model_whose_newest_file_is_torn_serves_the_weights_before_it_and_says_so(tmp_path: Path) -> None:
    digest = publish(tmp_path / "one", record({}))
    with client_of(tmp_path, default_model=None, reload_s=0.05) as client:
        (tmp_path / "one" / checkpoints.FILE_NAME).write_bytes(b"torn")
        eventually(lambda: client.get("/models/one").json()["problem"])
        one = client.get("/models/one").json()
        assert (one["ready"], one["default"], one["digest"]) == (True, True, digest)
        assert "is not a safetensors file" in one["problem"]


def test_one_that_does_not_serve_is_listed_with_its_reason_and_one_that_is_not_there_is_404(tmp_path: Path) -> None:
    publish(tmp_path / "one", record({}))
    (tmp_path / "two").mkdir()
    (tmp_path / "two" / checkpoints.FILE_NAME).write_bytes(b"torn")
    with client_of(tmp_path, default_model="two") as client:
        answer = client.get("/models")
        assert answer.headers["content-type"] == "application/json"
        one, two = answer.json()["models"]
        assert (one["ready"], one["problem"], one["default"]) == (True, None, False)
        assert set(two) == {"name", "default", "ready", "problem"}
        assert (two["name"], two["default"], two["ready"]) == ("two", True, False)
        assert "is not a safetensors file" in two["problem"]
        assert client.get("/models/one").headers["content-type"] == "application/json"
        missing = client.get("/models/three")
        assert missing.status_code == 404
        assert "three" in missing.json()["detail"]


def test_a_versions_figures_are_those_of_its_record(tmp_path: Path) -> None:
    told = {"saved_at": "2026-01-02T03:04:05.678+02:00", "train_perplexity": 2.5, "validation_perplexity": 3.5}
    publish(tmp_path / "one", record(told))
    publish(tmp_path / "one", record({}, 1))
    (tmp_path / "one" / "versions" / f"{0:064x}.safetensors").write_bytes(b"torn")
    with client_of(tmp_path, default_model=None) as client:
        versions = client.get("/models/one").json()["versions"]
        (good,) = [version for version in versions if version["problem"] is None]
        assert good["saved_at"] == "2026-01-02T01:04:05+00:00"
        assert (good["train_perplexity"], good["validation_perplexity"]) == (2.5, 3.5)
        (bad,) = [version for version in versions if version["problem"] is not None]
        assert "is not a safetensors file" in bad["problem"]
        assert bad["digest"] == f"{0:064x}"
