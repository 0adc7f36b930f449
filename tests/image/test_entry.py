"""What the image runs, run here: its command under its environment, on a machine without a driver."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from model.processor import gpu_present
from tests.app.conftest import Server
from tests.image.dockerfile import ROOT, read
from tests.reference import named

pytestmark = pytest.mark.skipif(gpu_present(), reason="this machine has a GPU; these tests are about one without")

FILE = read()
# What names places inside the image has no meaning outside it.
PLACES = {"PATH", "PYTHONPATH", "NEXTCHAR_MODELS_DIR"}


@pytest.fixture(scope="module", params=["auto", named("mxnet", slow=True)])
def running(
    request: pytest.FixtureRequest, models_dir: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    environment: dict[str, Any] = {**FILE.stage("base").environment(), **FILE.stages[-1].environment()}
    environment = {name: value for name, value in environment.items() if name not in PLACES}
    assert FILE.stages[-1].exec_form("CMD") == ["python", "-m", "app"], "which is what Server runs"
    with Server(tmp_path_factory.mktemp("image"), models_dir, NEXTCHAR_ENGINE=request.param, **environment) as server:
        yield server


def check_health(port: int) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "app.health"],
        cwd=ROOT,
        env={**os.environ, "NEXTCHAR_HOST": FILE.stages[-1].environment()["NEXTCHAR_HOST"], "NEXTCHAR_PORT": str(port)},
        capture_output=True,
        text=True,
        check=False,
    )


def test_it_starts_without_a_driver_is_healthy_and_tells_the_device_it_really_uses(running: Server) -> None:
    assert check_health(running.port).returncode == 0
    with httpx.Client(base_url=f"http://127.0.0.1:{running.port}") as client:
        answer = client.post("/generate", params={"prefix": "分开", "num_chars": 20})
        assert answer.status_code == 200, answer.text
        models = client.get("/models").json()["models"]
    assert [model["device"] for model in models] == ["cpu", "cpu"]
    assert len({model["engine"] for model in models}) == 1


def test_one_line_says_why_it_is_the_cpu(running: Server) -> None:
    assert running.log().count("using the CPU") == 1, running.log()
    assert "no GPU is visible" in running.log()


def test_it_stops_at_sigterm_and_is_unhealthy_then(running: Server) -> None:
    assert running.stop() == 0
    assert check_health(running.port).returncode == 1


@pytest.mark.slow
def test_a_service_without_a_model_is_unhealthy_and_the_check_says_why(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    with Server(tmp_path_factory.mktemp("image"), tmp_path) as server:
        checked = check_health(server.port)
        assert checked.returncode == 1
        assert "503" in checked.stdout
        assert "no model" in checked.stdout
