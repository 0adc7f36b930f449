"""What clients get when the process is told to end, and when it ends."""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn

from app.server.binding import on_addresses
from app.server.graceful import GracefulServer
from app.server.listening import ListenError, Listening
from tests.app.conftest import Server

LONG = {"prefix": "a", "num_chars": 10_000, "n": 16, "temperature": 1.0}
# A stream of more bytes than sockets hold, asked for by clients that never read it.
UNREAD = b"GET /generate?prefix=a&num_chars=10000&n=4&logprobs=20&stream=true HTTP/1.1\r\nHost: a\r\n\r\n"
# However slow the machine, no connection is late by itself.
PATIENT: dict[str, Any] = {
    f"NEXTCHAR_{name}": "600" for name in ("HEAD_TIMEOUT_S", "BODY_TIMEOUT_S", "KEEP_ALIVE_S", "WRITE_TIMEOUT_S")
}
HEAD = b"POST /generate HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"


class Answers:
    """Many long requests to a server that decodes one at a time; `wait` gives what came of each."""

    def __init__(self, server: Server, count: int) -> None:
        self._got: list[httpx.Response] = []
        self._threads = [threading.Thread(target=self._ask, args=(server, number)) for number in range(count)]
        for thread in self._threads:
            thread.start()
        deadline = time.monotonic() + 60
        while open_requests(server) < count:
            assert time.monotonic() < deadline

    def _ask(self, server: Server, number: int) -> None:
        stream = number % 2 == 1
        self._got.append(httpx.post(f"{server.url}/generate", json={**LONG, "stream": stream}, timeout=60))

    def wait(self) -> list[httpx.Response]:
        for thread in self._threads:
            thread.join()
        return self._got


def open_requests(server: Server) -> int:
    lines = httpx.get(f"{server.url}/metrics").text.splitlines()
    names = ("nextchar_num_requests_running", "nextchar_num_requests_waiting")
    return int(sum(float(line.split(" ")[1]) for line in lines if line.startswith(names)))


Connect = Callable[..., socket.socket]


@pytest.fixture
def connect() -> Iterator[Connect]:
    """Connections that have sent something, closed when the test is over."""
    with contextlib.ExitStack() as stack:

        def connected(server: Server, sent: bytes = b"") -> socket.socket:
            connection = stack.enter_context(socket.create_connection(("127.0.0.1", server.port), timeout=30))
            connection.sendall(sent)
            return connection

        yield connected


def answer(connection: socket.socket) -> bytes:
    received = b""
    try:
        while part := connection.recv(65536):
            received += part
    except ConnectionResetError:
        pass
    return received


@pytest.mark.slow
def test_at_the_limit_everybody_has_an_answer_and_the_process_ends(
    models_dir: Path, tmp_path: Path, connect: Connect
) -> None:
    server = Server(tmp_path, models_dir, NEXTCHAR_DRAIN_S="3", NEXTCHAR_MAX_ROWS="16", **PATIENT)
    kept = connect(server, b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n")
    assert kept.recv(1000).startswith(b"HTTP/1.1 200 ")
    connect(server, b"GET /generate?pre")
    half_body = connect(server, HEAD + b'Content-Length: 100\r\n\r\n{"prefix')
    held_upgrade = connect(server, HEAD + b"Connection: Upgrade\r\nUpgrade: websocket\r\nContent-Length: 9\r\n\r\n{")
    answers = Answers(server, 30)
    connect(server, UNREAD)

    begun = time.monotonic()
    server.process.send_signal(signal.SIGTERM)
    for unfinished in (half_body, held_upgrade):
        assert answer(unfinished).startswith(b"HTTP/1.1 503 ")
    assert server.process.wait(30) == 0, server.log()
    assert time.monotonic() - begun < 3 + 1 + 6

    ended = answers.wait()
    given_up = 0
    for response in ended:
        if response.headers["content-type"].startswith("text/event-stream"):
            events = response.text.strip().split("\n\n")
            name, data = (line.split(": ", 1)[1] for line in events[-1].splitlines()[:2])
            assert name in ("done", "error")
            status = 200 if name == "done" else json.loads(data)["status"]
        else:
            status = response.status_code
            assert response.json().get("status", 200) == status
        assert status in (200, 503)
        given_up += status == 503
    assert given_up
    assert len(ended) == 30
    assert "Traceback" not in server.log()


@pytest.mark.slow
def test_a_second_signal_ends_it_at_once(models_dir: Path, tmp_path: Path, connect: Connect) -> None:
    server = Server(tmp_path, models_dir, NEXTCHAR_DRAIN_S="600", **PATIENT)
    for _ in range(3):
        connect(server, UNREAD)
    while not open_requests(server):
        pass
    server.process.send_signal(signal.SIGTERM)
    while httpx.get(f"{server.url}/readyz").status_code == 200:
        pass
    assert open_requests(server)
    server.process.send_signal(signal.SIGTERM)
    assert server.process.wait(10) == 0
    assert "Traceback" not in server.log()


async def nothing() -> None:
    pass


def test_a_process_that_faster_listens_on_the_same_address_ends_the_start_with_a_sentence() -> None:
    """Both bound it before either listened."""
    events: list[str] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        while scope["type"] == "lifespan":
            events.append((await receive())["type"])
            await send({"type": f"{events[-1]}.complete"})
            if events[-1] == "lifespan.shutdown":
                return

    with contextlib.closing(on_addresses(["127.0.0.1"], 0)) as listening, socket.socket() as faster:
        faster.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        port = listening.sockets[0].getsockname()[1]
        faster.bind(("127.0.0.1", port))
        faster.listen()
        config = uvicorn.Config(app, log_config=None, ws="none", loop="uvloop")
        server = GracefulServer(config, listening, drain_s=0, begin=lambda: None, end=nothing)
        with pytest.raises(ListenError, match=rf"^cannot listen on http://127.0.0.1:{port}: address already in use$"):
            server.run()
    assert events == ["lifespan.startup", "lifespan.shutdown"]


@pytest.mark.parametrize(("ignored", "handled"), [(False, True), (True, False)])
def test_sighup_is_left_alone_where_it_was_ignored_as_by_nohup(
    ignored: bool, handled: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN if ignored else signal.SIG_DFL)
    try:
        numbers: list[int] = []

        async def serves(self: GracefulServer, _: object) -> None:
            loop = asyncio.get_running_loop()
            numbers.extend(n for n in (signal.SIGTERM, signal.SIGHUP) if loop.remove_signal_handler(n))

        monkeypatch.setattr(GracefulServer, "_serve", serves)
        config = uvicorn.Config(lambda: None, log_config=None, loop="uvloop")
        GracefulServer(config, Listening([]), drain_s=0, begin=lambda: None, end=nothing).run()
        assert (signal.SIGHUP in numbers) == handled
        assert signal.SIGTERM in numbers
    finally:
        signal.signal(signal.SIGHUP, before)


def test_connections_that_ask_nothing_whole_do_not_hold_it(models_dir: Path, tmp_path: Path, connect: Connect) -> None:
    server = Server(tmp_path, models_dir, NEXTCHAR_DRAIN_S="600", **PATIENT)
    for sent in (b"", b"GET /", HEAD + b"Content-Length: 9\r\n\r\n{"):
        for _ in range(20):
            connect(server, sent)
    assert server.stop() == 0
