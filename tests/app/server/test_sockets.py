"""Many connections that do nothing, or nothing whole, straight at a real process."""

from __future__ import annotations

import contextlib
import os
import resource
import selectors
import socket
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.app.conftest import Server

COUNT = 500
POST = b"POST /generate HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"
# What each kind sends at once, and what it then dribbles.
KINDS = {
    "nothing": (b"", b""),
    "half a request line": (b"GET /generate?pre", b""),
    "a header that dribbles": (b"GET / HTTP/1.1\r\nX-A: ", b"a"),
    "a body that stops": (POST + b'Content-Length: 100\r\n\r\n{"prefix', b""),
    "a body that dribbles": (POST + b"Content-Length: 100000\r\n\r\n{", b" "),
    "a chunked body that dribbles": (POST + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\n \r\n"),
    "an upgrade that is held": (POST + b"Connection: Upgrade\r\nUpgrade: websocket\r\nContent-Length: 9\r\n\r\n{", b""),
    "no second request": (b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n", b""),
}


@pytest.fixture(scope="module")
def impatient(models_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    settings: dict[str, Any] = {
        f"NEXTCHAR_{name}": "0.5" for name in ("HEAD_TIMEOUT_S", "BODY_TIMEOUT_S", "KEEP_ALIVE_S")
    }
    with Server(tmp_path_factory.mktemp("server"), models_dir, **settings) as server:
        yield server


@contextlib.contextmanager
def connections(server: Server, count: int) -> Iterator[list[socket.socket]]:
    with contextlib.ExitStack() as stack:
        address = ("127.0.0.1", server.port)
        yield [stack.enter_context(socket.create_connection(address, timeout=30)) for _ in range(count)]


def socket_of(key: selectors.SelectorKey) -> socket.socket:
    assert isinstance(key.fileobj, socket.socket)
    return key.fileobj


def until_all_are_closed(open_: list[socket.socket], dribble: bytes, timeout_s: float = 60.0) -> set[bytes]:
    """The status lines that came, once the server has closed each connection."""
    deadline = time.monotonic() + timeout_s
    firsts: dict[socket.socket, bytes] = {}
    with selectors.DefaultSelector() as selector:
        for connection in open_:
            connection.setblocking(False)
            selector.register(connection, selectors.EVENT_READ)
        while selector.get_map():
            assert time.monotonic() < deadline, f"{len(selector.get_map())} connections are still held"
            for key, _ in selector.select(0.05):
                connection = socket_of(key)
                try:
                    received = connection.recv(65536)
                except ConnectionResetError:
                    received = b""
                firsts.setdefault(connection, received)
                if not received:
                    selector.unregister(connection)
            for key in list(selector.get_map().values()) if dribble else ():
                with contextlib.suppress(OSError):
                    socket_of(key).send(dribble)
    return {first.split(b"\r\n")[0] for first in firsts.values()}


def still_answers(server: Server) -> bool:
    return httpx.get(f"{server.url}/generate", params={"prefix": "a", "num_chars": 3}, timeout=30).status_code == 200


@pytest.mark.parametrize("kind", KINDS)
def test_connections_that_bring_nothing_whole_are_closed(impatient: Server, kind: str) -> None:
    at_once, dribble = KINDS[kind]
    with connections(impatient, COUNT) as open_:
        for connection in open_:
            connection.sendall(at_once)
        status_lines = until_all_are_closed(open_, dribble)
        ends = {"nothing": b"", "no second request": b"HTTP/1.1 200 OK"}
        expected = ends.get(kind, b"HTTP/1.1 408 Request Timeout")
        assert expected in status_lines
        assert status_lines <= {expected, b""}  # a client that goes on sending may see a reset instead
    assert still_answers(impatient)


def test_a_late_body_is_408_in_the_log_and_in_the_metrics_too(impatient: Server) -> None:
    with connections(impatient, 1) as (connection,):
        connection.sendall(POST + b"Content-Length: 100\r\nX-Request-ID: late-1\r\n\r\n{")
        answer = b"".join(iter(lambda: connection.recv(65536), b""))
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert b"x-request-id: late-1" in answer.lower()
    assert b'"status":408' in answer
    [line] = [line for line in impatient.log().splitlines() if '"late-1"' in line]
    assert '"status": 408' in line
    assert 'status="408"' in httpx.get(f"{impatient.url}/metrics").text


def test_connections_over_the_limit_are_told_when_to_come_back(models_dir: Path, tmp_path: Path) -> None:
    settings: dict[str, Any] = {"NEXTCHAR_MAX_CONNECTIONS": "20", "NEXTCHAR_HEAD_TIMEOUT_S": "600"}
    with Server(tmp_path, models_dir, **settings) as server:
        with connections(server, 20):
            for _ in range(20):
                refused = httpx.get(f"{server.url}/healthz")
                assert refused.status_code == 503
                assert int(refused.headers["retry-after"]) > 0
        while httpx.get(f"{server.url}/healthz").status_code == 503:  # until it has seen them go
            pass
        assert still_answers(server)


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_without_file_descriptors_it_waits_and_then_answers_again(models_dir: Path, tmp_path: Path) -> None:
    with Server(tmp_path, models_dir, NEXTCHAR_RELOAD_S="0") as server:
        process = server.process.pid
        room = len(os.listdir(f"/proc/{process}/fd")) + 10
        resource.prlimit(process, resource.RLIMIT_NOFILE, (room, room))

        def cpu_s() -> float:
            fields = Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()
            return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

        with connections(server, 60):
            before = cpu_s()
            time.sleep(1)
            assert cpu_s() - before < 0.5
        deadline = time.monotonic() + 30
        while True:
            with contextlib.suppress(httpx.TransportError):
                if still_answers(server):
                    break
            assert time.monotonic() < deadline
