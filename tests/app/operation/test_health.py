"""What `/healthz` and `/readyz` say: whether the process lives, which models answer, and why others do not."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from structlog.testing import capture_logs

from app.scheduling.scheduler import Scheduler
from model.checkpoint import FILE_NAME
from tests.app.conftest import client_of, service_behind


def ready(client: TestClient) -> tuple[int, dict[str, Any]]:
    answer = client.get("/readyz")
    assert (answer.headers.get("retry-after") == "5") is (answer.status_code == 503)
    return answer.status_code, answer.json()


@pytest.fixture
def folder(models_dir: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(models_dir, tmp_path / "models"))


def test_one_model_that_is_damaged_is_named_and_does_not_make_the_others_unready(folder: Path) -> None:
    (folder / "other" / FILE_NAME).write_bytes(b"rubbish")
    with client_of(folder) as client:
        status, body = ready(client)
        assert (status, body["status"], body["models"]) == (200, "ready", ["tiny"])
        assert "is not a safetensors file" in body["problems"]["other"]


def test_without_the_default_model_it_is_not_ready_whatever_else_serves(folder: Path) -> None:
    with client_of(folder, default_model="gone") as client:
        status, body = ready(client)
        assert (status, body["status"], body["models"]) == (503, "not ready", ["other", "tiny"])
        assert body["problems"] == {"gone": "is the default model and is not there"}
    (folder / "tiny" / FILE_NAME).write_bytes(b"rubbish")
    with client_of(folder, default_model="tiny") as client:
        status, body = ready(client)
        assert (status, body["models"]) == (503, ["other"])
        assert "is not a safetensors file" in body["problems"]["tiny"]


def test_with_several_models_and_no_default_any_makes_it_ready(folder: Path) -> None:
    with client_of(folder, default_model=None) as client:
        devices = {"other": "cpu", "tiny": "cpu"}
        expected = {"status": "ready", "models": ["other", "tiny"], "devices": devices, "problems": {}}
        assert ready(client) == (200, expected)


def test_each_model_that_answers_stands_with_the_device_it_really_runs_on(folder: Path) -> None:
    with capture_logs() as lines, client_of(folder) as client:
        service_behind(client).registry.get("other").lm.engine.device = "gpu"
        assert ready(client)[1]["devices"] == {"other": "gpu", "tiny": "cpu"}
    logged = {line["model"]: line["device"] for line in lines if line["event"] == "model loaded"}
    assert logged == {"other": "cpu", "tiny": "cpu"}


def test_while_it_stops_it_lives_and_is_not_ready(folder: Path) -> None:
    with client_of(folder) as client:
        service_behind(client).draining = True
        assert ready(client)[0] == 503
        assert ready(client)[1]["status"] == "stopping"
        assert client.get("/healthz").json() == {"status": "ok"}


def test_a_directory_that_cannot_be_listed_is_said(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("os.listdir", fail)
    with client_of(folder, default_model=None) as client:
        status, body = ready(client)
        assert status == 503
        assert body["problems"]["*"] == f"the models directory {folder} cannot be listed (Permission denied)"
        assert "Permission denied" in client.get("/generate", params={"prefix": "a"}).json()["detail"]


def test_a_model_that_hangs_is_named_and_only_the_default_one_makes_it_unready(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    limits: list[object] = []
    hanging: dict[Scheduler, bool] = {}

    def hangs(self: Scheduler, stall_s: float | None = None) -> str | None:
        limits.append(stall_s)
        return "hangs" if hanging[self] else None

    monkeypatch.setattr(Scheduler, "problem", hangs)
    for name, status, word in (("other", 200, "ready"), ("tiny", 503, "not ready")):
        with client_of(folder, default_model="tiny", stall_s=7.0) as client:
            for served in service_behind(client).registry.served():
                hanging[served.scheduler] = served.name == name
            answers = ({"other", "tiny"} - {name}).pop()
            expected = {"status": word, "models": [answers], "devices": {answers: "cpu"}, "problems": {name: "hangs"}}
            assert ready(client) == (status, expected)
            (listed,) = [m for m in client.get("/models").json()["models"] if m["name"] == name]
            assert (listed["ready"], listed["problem"]) == (False, "hangs")
    assert set(limits) == {7.0}


def test_without_any_model_it_says_so(tmp_path: Path) -> None:
    with client_of(tmp_path, default_model=None) as client:
        status, body = ready(client)
        assert (status, body["status"], body["models"]) == (503, "not ready", [])
        assert list(body["problems"]) == ["*"]


def test_what_is_told_has_the_kind_of_content_that_its_readers_ask_for(folder: Path) -> None:
    with client_of(folder) as client:
        for path in ("/healthz", "/readyz"):
            assert client.get(path).headers["content-type"] == "application/json"
        figures = client.get("/metrics")
        assert figures.status_code == 200
        assert figures.headers["content-type"].startswith("text/plain; version=")
        assert "nextchar_model_info{" in figures.text
