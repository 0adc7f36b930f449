"""A real server whose log has no room: standard output and standard error are a device that is always full."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest

from tests.app.conftest import ROOT, START_S, STOP_S
from tests.deploy.nginx import free_port

FULL = Path("/dev/full")


@pytest.mark.slow
@pytest.mark.skipif(not FULL.exists(), reason="no device here is always full")
def test_requests_are_answered_where_the_log_has_no_room(models_dir: Path) -> None:
    url = f"http://127.0.0.1:{(port := free_port())}"
    environment = {key: value for key, value in os.environ.items() if not key.startswith("NEXTCHAR_")}
    environment |= {"NEXTCHAR_PORT": str(port), "NEXTCHAR_MODELS_DIR": str(models_dir)}
    with FULL.open("wb") as full:
        process = subprocess.Popen([sys.executable, "-m", "app"], cwd=ROOT, env=environment, stdout=full, stderr=full)
    try:
        until = time.monotonic() + START_S
        while not answers(f"{url}/readyz"):
            assert process.poll() is None
            assert time.monotonic() < until
            time.sleep(0.05)
        assert httpx.get(f"{url}/generate", params={"prefix": "a", "num_chars": 5, "model": "tiny"}).status_code == 200
        assert httpx.get(f"{url}/generate", params={"num_chars": 5, "model": "tiny"}).status_code == 422
        process.send_signal(signal.SIGTERM)
        assert process.wait(STOP_S) == 0
    finally:
        process.kill()
        process.wait()


def answers(url: str) -> bool:
    try:
        return httpx.get(url, timeout=STOP_S).status_code == 200
    except httpx.TransportError:
        return False
