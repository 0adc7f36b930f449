"""The health check: which address it asks, and what it says. tests/app/server/test_listening.py asks a real service."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path

import pytest

from app import health
from tests.app.conftest import ROOT
from tests.app.server.test_listening import HOSTS

READY = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"
NOT_READY = b'HTTP/1.1 503 Service Unavailable\r\nContent-Length: 15\r\n\r\n{"models": "no"}'


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def answering(listening: socket.socket, answer: bytes, stack: ExitStack) -> list[bytes]:
    """What one client of the socket asked."""
    asked: list[bytes] = []

    def serve() -> None:
        connection, _ = listening.accept()
        with connection:
            asked.append(connection.recv(65536))
            connection.sendall(answer)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    stack.callback(thread.join, 30)
    return asked


def result(variables: Mapping[str, str], monkeypatch: pytest.MonkeyPatch) -> int:
    for name in [name for name in os.environ if name.startswith("NEXTCHAR_")]:
        monkeypatch.delenv(name)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    return health.main()


@pytest.mark.parametrize("host", [*HOSTS, "0.0.0.0", f"{HOSTS[-1]}, 192.0.2.1"])
def test_the_first_address_is_asked(
    host: str, stack: ExitStack, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    address = {"0.0.0.0": "127.0.0.1"}.get(host, host.split(",")[0])
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    listening = stack.enter_context(socket.create_server((address, 0), family=family))
    asked = answering(listening, READY, stack)
    variables = {"NEXTCHAR_HOST": host, "NEXTCHAR_PORT": str(listening.getsockname()[1])}
    assert result(variables, monkeypatch) == 0
    assert asked[0].startswith(b"GET /readyz HTTP/1.1\r\n")
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("address", HOSTS)
def test_all_addresses_are_asked_at_the_loopback_address_that_there_is(
    address: str, stack: ExitStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    listening = stack.enter_context(socket.create_server((address, 0), family=family))
    answering(listening, READY, stack)
    variables = {"NEXTCHAR_HOST": "::", "NEXTCHAR_PORT": str(listening.getsockname()[1])}
    assert result(variables, monkeypatch) == 0


def test_a_path_goes_before_an_address(stack: ExitStack, monkeypatch: pytest.MonkeyPatch) -> None:
    home = stack.enter_context(tempfile.TemporaryDirectory(prefix="nextchar-"))
    listening = stack.enter_context(socket.socket(socket.AF_UNIX))
    listening.bind(str(Path(home, "own.sock")))
    listening.listen()
    answering(listening, READY, stack)
    variables = {"NEXTCHAR_UDS": "~/own.sock", "NEXTCHAR_HOST": "a b", "NEXTCHAR_PORT": "0", "HOME": home}
    assert result(variables, monkeypatch) == 0


@pytest.mark.parametrize(
    ("answer", "words"), [(NOT_READY, '503 {"models": "no"'), (b"SSH-2.0\r\n", "SSH-2.0"), (b"", "closed")]
)
def test_another_answer_is_told(
    answer: bytes,
    words: str,
    stack: ExitStack,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    listening = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
    answering(listening, answer, stack)
    assert result({"NEXTCHAR_PORT": str(listening.getsockname()[1])}, monkeypatch) == 1
    (line,) = capsys.readouterr().out.splitlines()
    assert words in line


@pytest.mark.parametrize(
    ("variables", "words"),
    [
        ({"NEXTCHAR_PORT": "0"}, "not known here"),
        ({"NEXTCHAR_PORT": "many"}, "'many'"),
        ({"NEXTCHAR_HOST": "127.0.0.1:8000"}, "NEXTCHAR_PORT has the port"),
        ({"NEXTCHAR_UDS": "/none/own.sock"}, "No such file"),
    ],
)
def test_what_cannot_be_asked_is_a_sentence(
    variables: dict[str, str], words: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert result(variables, monkeypatch) == 1
    (line,) = capsys.readouterr().out.splitlines()
    assert words in line


def test_it_asks_where_a_service_listens_whose_settings_are_none(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[object] = []
    monkeypatch.setattr(socket, "create_connection", lambda address, _: asked.append(address))
    for variables in ({}, {"NEXTCHAR_PORT": ""}, {"NEXTCHAR_PORT": "tcp://10.0.0.1:9"}, {"NEXTCHAR_HOST": ""}):
        health.connect(variables)
    assert asked == [("127.0.0.1", 8000)] * 4


def test_it_imports_nothing_of_the_service() -> None:
    program = "import json, sys, app.health; print(json.dumps(list(sys.modules)))"
    result = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    imported = {name.partition(".")[0] for name in json.loads(result.stdout)}
    assert imported & {"numpy", "fastapi", "pydantic", "model", "limits", "structlog", "uvicorn", "asyncio"} == set()
