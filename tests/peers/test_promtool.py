"""Prometheus' own reader and judge of metrics, over those of a service that was asked everything."""

from __future__ import annotations

import subprocess

import httpx
import pytest

from tests.app.conftest import Server
from tests.peers.conftest import every_example
from tests.programs import require

pytestmark = pytest.mark.peers


def promtool(metrics: bytes) -> subprocess.CompletedProcess[bytes]:
    command = [require("promtool"), "check", "metrics", "--extended"]
    return subprocess.run(command, input=metrics, capture_output=True, timeout=120, check=False)


def test_it_finds_nothing_to_say_against_the_metrics(open_to_all: Server) -> None:
    for example in every_example():
        headers = {"Content-Type": "application/json"} if example.body else {}
        httpx.request(example.method, open_to_all.url + example.target, content=example.body, headers=headers)
    for target in ("/generate?num_chars=-1", "/absent", "/generate?prefix=a&num_chars=3&stream=true"):
        httpx.get(open_to_all.url + target)
    metrics = httpx.get(f"{open_to_all.url}/metrics")
    assert metrics.headers["content-type"].startswith("text/plain")
    done = promtool(metrics.content)
    assert (done.returncode, done.stderr) == (0, b""), done.stderr.decode()
    assert b"nextchar_request_duration_seconds" in done.stdout  # it read them: --extended counts the series


def test_it_would_say_something() -> None:
    assert promtool(b"# TYPE asked counter\nasked 1\n").returncode == 3
