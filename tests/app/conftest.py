"""A folder with two models, an app over it in this process, and a real server over it as a process of its own."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
import time
import weakref
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from app.main import create_app
from app.middleware.request_log import RequestLog
from app.operation.metrics import Metrics
from app.serving.service import Service
from app.settings import Settings
from model import checkpoint as checkpoints
from tests.models import random_checkpoint

ROOT = Path(__file__).parent.parent.parent
SECRET = "a secret for tests only"
START_S, STOP_S = 300.0, 60.0  # the longest: a first start compiles, and a machine may have other work


@pytest.fixture(scope="session")
def models_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    checkpoints.save(folder / "tiny", random_checkpoint("lstm", 2, 24, scale=4.0))
    checkpoints.save(folder / "other", random_checkpoint("rnn", 1, 16, scale=4.0, seed=5))
    return folder


def settings(models_dir: Path, **fields: Any) -> Settings:
    defaults = {"default_model": "tiny", "secret": SECRET, "reload_s": 0, "allowed_hosts": "testserver"}
    return Settings(**{"models_dir": models_dir, **defaults, **fields})


@contextlib.contextmanager
def client_of(models_dir: Path, **fields: Any) -> Iterator[TestClient]:
    with TestClient(create_app(settings(models_dir, **fields)), raise_server_exceptions=False) as client:
        yield client


@pytest.fixture(scope="module")
def client(models_dir: Path) -> Iterator[TestClient]:
    with client_of(models_dir) as client:
        yield client


def answer_of(client: TestClient, status: int = 200, **fields: Any) -> dict[str, Any]:
    """Of `/generate`, asked with JSON."""
    response = client.post("/generate", json=fields)
    assert response.status_code == status, response.text
    body: dict[str, Any] = response.json()
    return body


def service_behind(client: TestClient) -> Service:
    app: Any = client.app
    service: Service = app.state.service
    return service


def metrics_of(app: Any) -> Metrics:
    """What the app's log counts in; there once the app has begun."""
    layer = app.middleware_stack
    while not isinstance(layer, RequestLog):
        layer = layer.app
    metrics: Metrics = layer.count.__self__  # type: ignore[attr-defined]
    return metrics


def eventually(holds: Callable[[], Any], seconds: float = 120.0) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, "it did not come true"
        time.sleep(0.02)


class Server:
    """`python -m app` on a free port, which ends with its `with`, or with the tests at the latest.

    One that does not come up is ended at once, and its log shown.
    `url`, `port`, `log()`; `stop` sends SIGTERM and gives the exit status. A variable that is None is not set.
    The program is begun by `command` and inherits `descriptors`.
    """

    def __init__(
        self,
        folder: Path,
        models_dir: Path,
        cwd: Path = ROOT,
        command: Sequence[str] = (),
        descriptors: Sequence[int] = (),
        **environment: str | None,
    ) -> None:
        self._log = folder / f"server-{time.monotonic_ns()}.log"
        inherited = {key: value for key, value in os.environ.items() if not key.startswith("NEXTCHAR_")}
        defaults = {
            "NEXTCHAR_MODELS_DIR": str(models_dir),
            "NEXTCHAR_DEFAULT_MODEL": "tiny",
            "NEXTCHAR_SECRET": SECRET,
            "NEXTCHAR_PORT": "0",
            "NEXTCHAR_ALLOWED_HOSTS": "a,x",  # what tests write after Host: over raw sockets
        }
        with self._log.open("wb") as log:
            self.process = subprocess.Popen(
                [*command, sys.executable, "-m", "app"],
                cwd=cwd,
                env={k: v for k, v in {**inherited, **defaults, **environment}.items() if v is not None},
                stdout=log,
                stderr=log,
                pass_fds=descriptors,
            )
        self.kill = weakref.finalize(self, _kill, self.process)
        try:
            self.url = self._wait_for(r'"url": "(http://[^"]+)"|url\S*=\S*?(http://[^\s\x1b]+)')  # JSON, console
        except BaseException:
            self.kill()
            raise
        port = self.url.rsplit(":", 1)[1]
        self.port = int(port) if port.isdigit() else 0  # none on a Unix socket

    def log(self) -> str:
        return self._log.read_text("utf-8")

    def _wait_for(self, pattern: str) -> str:
        deadline = time.monotonic() + START_S
        while time.monotonic() < deadline:
            ended = self.process.poll() is not None
            found = re.search(pattern, self.log())
            if found:
                return found[1] or found[2]
            assert not ended, f"ended with {self.process.returncode} before it listened:\n{self.log()}"
            time.sleep(0.02)
        raise AssertionError(f"does not listen after {START_S} s:\n{self.log()}")

    def __enter__(self) -> Server:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    def stop(self, number: int = signal.SIGTERM) -> int:
        if self.process.poll() is None:
            self.process.send_signal(number)
        try:
            return self.process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"still there {STOP_S} s after signal {number}:\n{self.log()}") from None


def _kill(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.wait()


@pytest.fixture(scope="session")
def shared_servers() -> Iterator[list[Server]]:
    """The last is the one that modules share which want no settings: starting one takes seconds."""
    started: list[Server] = []
    yield started
    for server in started:
        server.kill()


@pytest.fixture(scope="module")
def server(models_dir: Path, tmp_path_factory: pytest.TempPathFactory, shared_servers: list[Server]) -> Server:
    """Other modules have asked it before: its figures have begun, and its log has lines of theirs."""
    if not shared_servers or shared_servers[-1].process.poll() is not None:
        shared_servers.append(Server(tmp_path_factory.mktemp("server"), models_dir))
    return shared_servers[-1]


@pytest.fixture(scope="module")
def unshared_server(models_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """For a module that reads the log: what stands there is its own."""
    with Server(tmp_path_factory.mktemp("server"), models_dir) as running:
        yield running
