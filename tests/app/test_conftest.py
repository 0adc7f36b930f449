"""The servers that tests start end, whatever becomes of the test."""

from __future__ import annotations

import gc
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.app import conftest
from tests.app.conftest import Server
from tests.deploy import nginx
from tests.deploy.nginx import Nginx


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[subprocess.Popen[bytes]]:
    """Every process that is started."""
    processes: list[subprocess.Popen[bytes]] = []

    class Noted(subprocess.Popen[bytes]):
        def __init__(self, *arguments: Any, **options: Any) -> None:
            super().__init__(*arguments, **options)
            processes.append(self)

    monkeypatch.setattr(subprocess, "Popen", Noted)
    return processes


def test_a_server_that_does_not_come_up_in_time_is_ended_and_its_log_shown(
    models_dir: Path, tmp_path: Path, started: list[subprocess.Popen[bytes]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(conftest, "START_S", 0.0)
    with pytest.raises(AssertionError, match="does not listen after"):
        Server(tmp_path, models_dir)
    [process] = started
    assert process.returncode is not None


def test_a_server_that_ends_by_itself_is_told_with_its_status_and_its_log(models_dir: Path, tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match=r"ended with 2 before it listened:\n\s*NEXTCHAR_PORT"):
        Server(tmp_path, models_dir, NEXTCHAR_PORT="x")


@pytest.mark.slow
def test_a_server_ends_with_its_with_when_the_test_fails(models_dir: Path, tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), Server(tmp_path, models_dir) as server:
        raise ZeroDivisionError
    assert server.process.returncode is not None


@pytest.mark.slow
def test_a_server_that_nobody_holds_any_more_is_ended(
    models_dir: Path, tmp_path: Path, started: list[subprocess.Popen[bytes]]
) -> None:
    Server(tmp_path, models_dir)
    gc.collect()
    [process] = started
    assert process.returncode is not None


def test_an_nginx_that_does_not_come_up_in_time_is_ended(
    tmp_path: Path, started: list[subprocess.Popen[bytes]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(nginx, "START_S", 0.0)
    with pytest.raises(AssertionError, match="does not listen after"):
        Nginx(tmp_path, "127.0.0.1:1")
    [process] = started
    assert process.returncode is not None
