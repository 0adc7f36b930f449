"""How `python -m app` begins: what cannot be had as it was asked for ends it with status 2 and one sentence."""

from __future__ import annotations

import gc
import importlib
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from app import __main__ as start
from app.settings import PREFIX
from model import checkpoint as checkpoints
from model.errors import DeviceError
from model.processor import gpu_present
from tests.app.conftest import ROOT, client_of
from tests.beginnings import CASES

NO_CARD = "device: gpu cannot be used here: mxnet: MXNet sees no GPU; onnxruntime: no NVIDIA driver is installed"

GPU_ASKED_FOR = (
    "NEXTCHAR_DEVICE is 'gpu': "
    + NO_CARD.removeprefix("device: ")
    + "; to compute on the CPU, set NEXTCHAR_DEVICE=cpu (with Docker Compose, COMPOSE_PROFILES=cpu)"
)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """A machine without a card, which is asked for one; nothing is served on it."""
    asked: list[tuple[str, str]] = []

    def check(device: str, engine: str) -> None:
        asked.append((device, engine))
        raise DeviceError(NO_CARD if device == "gpu" else "MXNet is not installed")

    def serve(*_: object) -> None:
        raise SystemExit("serves")

    for name in [name for name in os.environ if name.startswith(PREFIX)]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("NEXTCHAR_PORT", "0")
    monkeypatch.setattr(start, "configure", lambda *_: None)
    monkeypatch.setattr("app.__main__.faulthandler.enable", lambda: None)
    monkeypatch.setattr(start, "check", check)
    monkeypatch.setattr(start, "create_app", serve)
    return asked


@pytest.mark.parametrize(
    ("variables", "sentence"),
    [
        ({"DEVICE": "gpu"}, GPU_ASKED_FOR),
        ({"DEVICE": "gpu", "ENGINE": "mxnet"}, GPU_ASKED_FOR),
        ({"ENGINE": "mxnet"}, "NEXTCHAR_ENGINE is 'mxnet': MXNet is not installed"),
    ],
)
def test_what_is_asked_for_by_name_and_is_not_there_ends_the_start(
    variables: dict[str, str],
    sentence: str,
    asked: list[tuple[str, str]],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(PREFIX + name, value)
    assert start.main() == 2
    assert capsys.readouterr().err == sentence + "\n"
    assert asked == [(variables.get("DEVICE", "cpu"), variables.get("ENGINE", "auto"))]


@pytest.mark.parametrize("variables", [{}, {"DEVICE": "auto"}, {"DEVICE": "cpu"}, {"ENGINE": "onnxruntime"}])
def test_a_start_that_asks_for_neither_looks_for_neither(
    variables: dict[str, str], asked: list[tuple[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(PREFIX + name, value)
    with pytest.raises(SystemExit, match="serves"):
        start.main()
    assert asked == []


@pytest.mark.skipif(gpu_present(), reason="this machine has a GPU; this is about one without")
@pytest.mark.slow
@pytest.mark.parametrize("models", ["none", "one"])
def test_a_gpu_that_is_not_there_ends_the_process_with_or_without_models(
    models: str, models_dir: Path, tmp_path: Path
) -> None:
    own: dict[str, Any] = {"NEXTCHAR_DEVICE": "gpu", "NEXTCHAR_PORT": "0", "NEXTCHAR_LOG_FORMAT": "json"}
    own["NEXTCHAR_MODELS_DIR"] = str(models_dir if models == "one" else tmp_path)
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(PREFIX)}
    ended = subprocess.run(
        [sys.executable, "-m", "app"], cwd=ROOT, env=inherited | own, capture_output=True, text=True, timeout=300
    )
    assert ended.returncode == 2, ended.stderr
    (line,) = ended.stderr.splitlines()
    assert line.startswith("NEXTCHAR_DEVICE is 'gpu': gpu cannot be used here: mxnet: ")
    assert "; onnxruntime: " in line
    assert ended.stdout == ""


@pytest.mark.skipif(gpu_present(), reason="this machine has a GPU; this is about one without")
def test_a_model_that_finds_no_gpu_later_is_named_with_the_reason(models_dir: Path) -> None:
    with client_of(models_dir, device="gpu") as client:
        answer = client.get("/readyz")
    assert (answer.status_code, answer.json()["models"], answer.json()["devices"]) == (503, [], {})
    for name in ("tiny", "other"):
        assert answer.json()["problems"][name].startswith("device: gpu cannot be used here: ")


def test_importing_it_leaves_the_collector_of_garbage_as_it_is() -> None:
    importlib.reload(start)
    assert gc.isenabled()


@pytest.mark.slow
def test_what_is_compiled_is_there_before_a_model_is_ready(models_dir: Path, tmp_path: Path) -> None:
    """In a process of its own: this one has called these functions before."""
    models = shutil.copytree(models_dir, tmp_path / "models")
    checkpoints.save(models / "drawn", CASES["drawn"].checkpoint)
    asked = subprocess.run(
        [sys.executable, "-m", "tests.app.first_requests", str(models)], cwd=ROOT, capture_output=True, text=True
    )
    assert asked.stdout.splitlines()[-1:] == ["[]"], asked.stdout + asked.stderr
