"""What `/healthz` and `/readyz` say: whether the process lives, which models answer, and why others do not."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from model.checkpoint import FILE_NAME
from tests.app.conftest import client_of


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
        assert ready(client) == (200, {"status": "ready", "models": ["other", "tiny"], "problems": {}})


def test_while_it_stops_it_lives_and_is_not_ready(folder: Path) -> None:
    with client_of(folder) as client:
        client.app.state.service.draining = True  # type: ignore[attr-defined]
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
