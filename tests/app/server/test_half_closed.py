"""A client that ends its sending gets its answers; one that is gone is noticed."""

from __future__ import annotations

import asyncio
import json
import socket
import struct
from collections.abc import Awaitable, Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest

from app.main import create_app
from app.server.half_closed import BEGIN, LOOK_S
from app.server.protocol import Protocol
from tests.app.conftest import Server, eventually, settings
from tests.app.every_route import Example, examples
from tests.app.server.connections import Connection, HandClock
from tests.app.server.test_protocol import LIMITS

ROUTES = list(examples(create_app(settings(Path("none")))))
BODIES = [example for example in ROUTES if example.body]


MOST_CHARS = 10_000_000


@pytest.fixture(scope="module")
def server(models_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One whose longest answer takes longer than a test waits."""
    long: dict[str, Any] = {
        "NEXTCHAR_MAX_NUM_CHARS": str(MOST_CHARS),
        "NEXTCHAR_MAX_ANSWER_MB": "4096",
        "NEXTCHAR_REQUEST_TIMEOUT_S": "3600",
    }
    with Server(tmp_path_factory.mktemp("server"), models_dir, **long) as running:
        yield running


def half_closed(server: Server, sent: bytes) -> bytes:
    """All that comes to a client that sends this and then ends its sending."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=60) as connection:
        connection.sendall(sent)
        connection.shutdown(socket.SHUT_WR)
        return b"".join(iter(lambda: connection.recv(65536), b""))


@pytest.mark.parametrize("version", ["1.1", "1.0"])
@pytest.mark.parametrize("example", ROUTES, ids=str)
def test_a_client_that_ends_its_sending_gets_its_whole_answer(server: Server, example: Example, version: str) -> None:
    head, body = half_closed(server, example.raw(version=version)).split(b"\r\n\r\n", 1)
    assert head.startswith(b"HTTP/1.1 200 ")
    lengths = [line for line in head.lower().splitlines() if line.startswith(b"content-length: ")]
    assert lengths == [b"content-length: %d" % len(body)] or body.endswith(b"\r\n0\r\n\r\n") or version == "1.0"
    assert body


GENERATE = "GET /generate?prefix=a&num_chars=%d&temperature=1&n=4%s HTTP/1.1\r\nHost: a\r\n\r\n"


@pytest.mark.parametrize("more", ["&stream=true", "&logprobs=20", "&stream=true&logprobs=20"])
def test_so_it_does_in_pieces(server: Server, more: str) -> None:
    answer = half_closed(server, (GENERATE % (300, more)).encode())
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert answer.endswith(b"\r\n0\r\n\r\n")


def test_so_it_does_for_each_of_several_requests(server: Server) -> None:
    sent = "".join(GENERATE % (300, more) for more in ("", "&stream=true", ""))
    answer = half_closed(server, sent.encode() + b"GET /models HTTP/1.1\r\nHost: a\r\n\r\n")
    assert answer.count(b"HTTP/1.1 200 ") == 4
    assert answer.count(b"\r\nconnection: close\r\n") == 1


def test_so_it_does_when_its_answer_takes_longer_than_it_takes_to_ask_whether_it_is_there(server: Server) -> None:
    head, body = half_closed(server, (GENERATE % (5000, "")).encode()).split(b"\r\n\r\n", 1)
    assert head.startswith(b"HTTP/1.1 200 ")
    assert b"HTTP/1.1 " not in body


def test_a_head_that_ends_with_the_sending_is_answered_400(server: Server) -> None:
    for sent in (b"GET", b"GET / HTTP/1.1\r\nHost", b"GET / HTTP/1.1\r\nHost: a\r\n"):
        answer = half_closed(server, b"GET /models HTTP/1.1\r\nHost: a\r\n\r\n" + sent)
        assert answer.startswith(b"HTTP/1.1 200 ")
        assert half_closed(server, sent).startswith(b"HTTP/1.1 400 ")
    assert half_closed(server, b"") == b""


# Clients that leave.


def requests_in(log: str) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in log.splitlines() if line.startswith("{")]
    return [line for line in lines if line["event"] == "request" and line["level"] == "info"]


def leave(server: Server, sent: bytes, with_reset: bool) -> None:
    with socket.create_connection(("127.0.0.1", server.port), timeout=60) as connection:
        connection.sendall(sent)
        if with_reset:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def counted(server: Server, route: str, status: int) -> float:
    lines = httpx.get(f"{server.url}/metrics").text.splitlines()
    labels = (f'route="{route}"', f'status="{status}"', "nextchar_request_count_total")
    return sum(float(line.rpartition(" ")[2]) for line in lines if all(label in line for label in labels))


@pytest.mark.parametrize("framing", ["length", "chunks", "expectation"])
@pytest.mark.parametrize("example", BODIES, ids=str)
def test_a_client_that_leaves_within_its_body_is_a_499_and_nothing_else(
    server: Server, example: Example, framing: str
) -> None:
    whole = example.raw(*(["Expect: 100-continue"] if framing == "expectation" else []))
    head_bytes = len(whole) - len(example.body)
    if framing == "chunks":
        chunks = (
            b"5\r\n" + example.body[:5] + b"\r\n%x\r\n" % len(example.body[5:]) + example.body[5:] + b"\r\n0\r\n\r\n"
        )
        length = b"Content-Length: %d\r\n" % len(example.body)
        head = whole[:head_bytes].replace(length, b"Transfer-Encoding: chunked\r\n")
        whole, head_bytes = head + chunks, len(head)
    counted_before = counted(server, example.route, 499)
    log_before = len(server.log())
    cuts = range(head_bytes, len(whole))
    for cut in cuts:
        leave(server, whole[:cut], with_reset=False)
    eventually(lambda: counted(server, example.route, 499) == counted_before + len(cuts))
    eventually(lambda: len(requests_in(server.log()[log_before:])) >= len(cuts))
    log = server.log()[log_before:]
    assert {(line["status"], line["route"]) for line in requests_in(log)} == {(499, example.route)}
    assert len(requests_in(log)) == len(cuts)
    assert "Traceback" not in log
    assert '"level": "warning"' not in log


@pytest.mark.parametrize("example", ROUTES, ids=str)
def test_a_client_that_leaves_anywhere_leaves_no_error(server: Server, example: Example) -> None:
    log_before = len(server.log())
    whole = example.raw()
    for cut in range(1, len(whole) + 1, 1 if example.body else 7):
        leave(server, whole[:cut], with_reset=cut % 2 == 0)
    assert httpx.get(f"{server.url}/models").status_code == 200
    log = server.log()[log_before:]
    assert "Traceback" not in log
    assert not [line for line in log.splitlines() if '"level": "warning"' in line or '"level": "error"' in line]


def rows(server: Server) -> float:
    lines = httpx.get(f"{server.url}/metrics").text.splitlines()
    names = ("nextchar_num_requests_running", "nextchar_num_requests_waiting")
    return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith(names))


@pytest.mark.parametrize("more", ["", "&stream=true"])
@pytest.mark.parametrize("with_reset", [False, True])
def test_a_client_that_leaves_frees_its_rows_long_before_its_answer_is_there(
    server: Server, more: str, with_reset: bool
) -> None:
    name = f"left-{with_reset}{len(more)}"
    sent = (GENERATE % (MOST_CHARS, more)).replace("Host: a\r\n", f"Host: a\r\nX-Request-ID: {name}\r\n")
    leave(server, sent.encode(), with_reset)
    eventually(lambda: name in [line["request_id"] for line in requests_in(server.log())])
    eventually(lambda: rows(server) == 0)


# The same without sockets.


def drive(scene: Callable[[Connection, HandClock], Awaitable[None]], **options: Any) -> None:
    async def run() -> None:
        clock = HandClock()
        await scene(Connection(partial(Protocol, LIMITS), clock=clock, **options), clock)

    asyncio.run(run())


GET = b"GET /a HTTP/1.1\r\nHost: a\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok"


@pytest.mark.parametrize("looks", [0, 1, 2, 5])
def test_an_answer_is_the_same_bytes_however_long_it_takes(looks: int) -> None:
    async def scene(connection: Connection, clock: HandClock) -> None:
        connection.answering = asyncio.Event()
        await connection.receive(GET)
        await connection.half_close()
        for _ in range(looks):
            clock.advance(LOOK_S)
            assert connection.transport.written == BEGIN
        connection.answering.set()
        await connection.settle()
        assert connection.transport.written == OK
        assert connection.transport.closing
        connection.protocol.connection_lost(None)
        assert clock.timers == []

    drive(scene)


def test_each_of_several_answers_begins_once() -> None:
    async def scene(connection: Connection, clock: HandClock) -> None:
        connection.answering = asyncio.Event()
        await connection.receive(GET * 3)
        await connection.half_close()
        clock.advance(3 * LOOK_S)
        connection.answering.set()
        await connection.settle()
        ok = OK.replace(b"connection: close\r\n", b"")
        assert connection.transport.written == ok + ok + OK

    drive(scene)


def test_a_client_that_resets_the_connection_is_gone() -> None:
    async def scene(connection: Connection, clock: HandClock) -> None:
        connection.answering = asyncio.Event()
        await connection.receive(GET)
        await connection.half_close()
        clock.advance(LOOK_S)
        [cycle] = connection.protocol._open
        assert not cycle.disconnected
        connection.transport.error = 104
        clock.advance(LOOK_S)
        assert cycle.disconnected
        assert connection.transport.aborted
        assert clock.timers == []
        connection.answering.set()
        await connection.settle()
        assert connection.transport.written == BEGIN

    drive(scene)


def test_nothing_is_sent_ahead_of_an_answer_that_has_begun() -> None:
    async def begins(scope: object, receive: object, send: Callable[[object], Awaitable[None]]) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
        await go_on.wait()
        await send({"type": "http.response.body", "body": b"ok"})

    go_on = asyncio.Event()

    async def scene(connection: Connection, clock: HandClock) -> None:
        connection.protocol._app = begins
        await connection.receive(GET)
        await connection.half_close()
        clock.advance(3 * LOOK_S)
        go_on.set()
        await connection.settle()
        assert connection.transport.written == OK.replace(b"connection: close\r\n", b"")
        assert connection.transport.closing

    drive(scene)


def test_a_request_that_will_never_be_whole_ends_and_those_before_it_are_answered() -> None:
    async def scene(connection: Connection, clock: HandClock) -> None:
        connection.answering = asyncio.Event()
        await connection.receive(GET + b"POST /b HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n1234")
        await connection.half_close()
        assert not connection.transport.closing
        connection.answering.set()
        await connection.settle()
        assert connection.transport.written == OK
        assert connection.transport.closing

    drive(scene)


def test_the_end_of_sending_within_a_body_tells_the_app() -> None:
    async def scene(connection: Connection, clock: HandClock) -> None:
        await connection.receive(b"POST /b HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n1234")
        await connection.half_close()
        assert connection.told == [{"type": "http.disconnect"}]
        assert connection.transport.written == b""
        assert connection.transport.closing

    drive(scene)


def test_a_request_that_was_refused_within_its_body_still_gets_its_answer() -> None:
    async def scene(connection: Connection, clock: HandClock) -> None:
        connection.answering = asyncio.Event()
        await connection.receive(b"POST /b HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n1234")
        connection.protocol.refuse_unfinished(503, "stopping")
        await connection.settle()
        await connection.half_close()
        assert not connection.transport.closing
        connection.answering.set()
        await connection.settle()
        assert connection.told[0]["status"] == 503
        assert connection.transport.written == OK

    drive(scene)
