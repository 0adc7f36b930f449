"""What a connection is allowed in time and number, with a clock that is moved by hand."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import pytest

from app.server.protocol import MIN_BODY_RATE, Limits, Protocol
from tests.app.server.connections import Connection, HandClock

LIMITS = Limits(head_s=10.0, body_s=8.0, keep_alive_s=30.0, write_s=20.0, connections=3)
GET = b"GET /a HTTP/1.1\r\nHost: a\r\n\r\n"
POST = b"POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n"
CHUNKED = b"POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"


def drive(scene: Callable[[Connection, HandClock], Awaitable[None]], **options: Any) -> None:
    async def run() -> None:
        clock = HandClock()
        await scene(Connection(partial(Protocol, LIMITS), clock=clock, **options), clock)

    asyncio.run(run())


def test_a_connection_that_sends_nothing_is_closed_without_a_word() -> None:
    async def scene(connection: Connection, clock: HandClock) -> None:
        clock.advance(9.9)
        assert not connection.transport.is_closing()
        clock.advance(0.2)
        assert connection.transport.is_closing()
        assert connection.transport.written == b""

    drive(scene)


@pytest.mark.parametrize("sent", [b"GET /a?b", b"GET /a HTTP/1.1\r\nHo", b"\r\n"])
def test_a_head_that_dribbles_is_answered_408(sent: bytes) -> None:
    async def scene(connection: Connection, clock: HandClock) -> None:
        for at in range(len(sent)):
            clock.advance(9.0 / len(sent))
            await connection.receive(sent[at : at + 1])
        assert not connection.transport.closing
        clock.advance(1.1)
        assert connection.transport.written.startswith(b"HTTP/1.1 408 ")
        assert b"connection: close" in connection.transport.written
        assert connection.transport.closing

    drive(scene)


def test_a_kept_connection_may_idle_and_its_next_head_has_its_own_time() -> None:
    async def scene(connection: Connection, clock: HandClock) -> None:
        for _ in range(3):
            await connection.receive(GET)
            clock.advance(29)
        assert connection.transport.written.count(b"HTTP/1.1 200") == 3
        await connection.receive(b"GET")
        clock.advance(9.9)
        assert not connection.transport.closing
        clock.advance(0.2)
        assert connection.transport.written.count(b"HTTP/1.1 408") == 1

    drive(scene)


def test_a_kept_connection_that_idles_too_long_is_closed_without_a_word() -> None:
    async def scene(connection: Connection, clock: HandClock) -> None:
        await connection.receive(GET)
        written = connection.transport.written
        clock.advance(29.9)
        assert not connection.transport.is_closing()
        clock.advance(0.2)
        assert connection.transport.is_closing()
        assert connection.transport.written == written

    drive(scene)


def dribble(
    connection: Connection, clock: HandClock, chunked: bool, bytes_per_s: int
) -> Callable[[float], Awaitable[None]]:
    async def go_on(seconds: float) -> None:
        for _ in range(int(seconds)):
            if not connection.transport.closing:
                data = b"a" * bytes_per_s
                await connection.receive(b"%x\r\n%s\r\n" % (len(data), data) if chunked else data)
            clock.advance(1.0)
        await connection.settle()

    return go_on


@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.parametrize("bytes_per_s", [1, MIN_BODY_RATE - 100])
def test_a_body_that_dribbles_ends_with_408_from_the_app(chunked: bool, bytes_per_s: int) -> None:
    async def scene(connection: Connection, clock: HandClock) -> None:
        await connection.receive(CHUNKED if chunked else POST)
        await dribble(connection, clock, chunked, bytes_per_s)(9)
        assert [message["status"] for message in connection.told] == [408]
        assert connection.transport.written.endswith(b"ok")  # what this app answers
        assert connection.transport.closing
        assert connection.requests == []

    drive(scene)


def test_a_body_that_stops_ends_within_two_of_its_times() -> None:
    async def scene(connection: Connection, clock: HandClock) -> None:
        await connection.receive(POST + b"a" * 50_000)
        clock.advance(16.1)
        await connection.settle()
        assert [message["status"] for message in connection.told] == [408]

    drive(scene)


@pytest.mark.parametrize("chunked", [False, True])
def test_a_body_that_keeps_moving_may_take_long(chunked: bool) -> None:
    async def scene(connection: Connection, clock: HandClock) -> None:
        await connection.receive(CHUNKED if chunked else POST)
        await dribble(connection, clock, chunked, MIN_BODY_RATE)(100)
        if chunked:
            await connection.receive(b"0\r\n\r\n")
        assert [request[4] for request in connection.requests] == [b"a" * 100_000]

    drive(scene)


def test_what_a_chunked_body_is_framed_with_is_no_progress() -> None:
    async def scene(connection: Connection, clock: HandClock) -> None:
        await connection.receive(CHUNKED)
        for _ in range(9):
            await connection.receive(b"1;" + b"a" * 3000 + b"\r\nb\r\n")
            clock.advance(1.0)
        await connection.settle()
        assert [message["status"] for message in connection.told] == [408]

    drive(scene)


def test_an_answer_may_take_as_long_as_the_app_takes() -> None:
    async def scene(connection: Connection, clock: HandClock) -> None:
        connection.answering = asyncio.Event()
        await connection.receive(GET)
        clock.advance(3600)
        assert not connection.transport.closing
        connection.answering.set()
        await connection.settle()
        assert connection.transport.written.startswith(b"HTTP/1.1 200")

    drive(scene)


def test_a_body_that_nobody_waits_for_does_not_hold_its_connection() -> None:
    """A request that is answered before its body has come: a refused key, for one."""

    async def answer_at_once(scope: object, receive: object, send: Callable[[object], Awaitable[None]]) -> None:
        await send({"type": "http.response.start", "status": 401, "headers": [(b"content-length", b"0")]})
        await send({"type": "http.response.body", "body": b""})

    async def scene(connection: Connection, clock: HandClock) -> None:
        connection.protocol._app = answer_at_once
        await connection.receive(POST + b"a")
        assert connection.transport.written.startswith(b"HTTP/1.1 401")
        clock.advance(8.1)
        assert connection.transport.closing
        assert connection.transport.written.count(b"HTTP/1.1") == 1

    drive(scene)


def test_a_client_that_takes_nothing_is_cut_off_and_one_that_reads_slowly_is_not() -> None:
    async def scene(connection: Connection, clock: HandClock) -> None:
        connection.answering = asyncio.Event()
        await connection.receive(GET)
        connection.transport.unread = 100_000
        connection.protocol.pause_writing()
        for _ in range(10):
            clock.advance(19)
            connection.transport.unread -= 1
        assert not connection.transport.is_aborted()
        clock.advance(40)
        assert connection.transport.is_aborted()
        connection.answering.set()
        await connection.settle()

    drive(scene)


def test_an_answer_that_is_whole_but_unread_does_not_hold_its_connection() -> None:
    async def scene(connection: Connection, clock: HandClock) -> None:
        connection.transport.unread = 1000
        await connection.receive(GET.replace(b"Host", b"Connection: close\r\nHost"))
        assert connection.transport.closing
        clock.advance(20.1)
        assert connection.transport.aborted

    drive(scene)


def test_connections_over_the_limit_are_answered_503_and_closed() -> None:
    async def run() -> None:
        clock = HandClock()
        first = Connection(partial(Protocol, LIMITS), clock=clock)
        others = [Connection(partial(Protocol, LIMITS), clock=clock, server_state=first.server_state) for _ in range(3)]
        assert [other.transport.closing for other in others] == [False, False, True]
        written = others[-1].transport.written
        assert written.startswith(b"HTTP/1.1 503 ")
        assert b"retry-after: " in written
        others[-1].protocol.connection_lost(None)
        first.protocol.connection_lost(None)
        again = Connection(partial(Protocol, LIMITS), clock=clock, server_state=first.server_state)
        assert not again.transport.closing

    asyncio.run(run())


def test_a_connection_that_is_gone_leaves_no_timer() -> None:
    async def scene(connection: Connection, clock: HandClock) -> None:
        await connection.receive(GET)
        connection.protocol.connection_lost(None)
        assert clock.timers == []

    drive(scene)


def test_a_request_whose_body_is_arriving_can_be_refused() -> None:
    async def scene(connection: Connection, clock: HandClock) -> None:
        await connection.receive(POST + b"a" * 10)
        connection.protocol.refuse_unfinished(503, "stopping")
        await connection.settle()
        assert connection.told == [{"type": "http.disconnect", "status": 503, "detail": "stopping"}]
        assert connection.transport.closing

    drive(scene)


def test_a_request_that_has_arrived_is_not_refused() -> None:
    async def scene(connection: Connection, clock: HandClock) -> None:
        connection.answering = asyncio.Event()
        await connection.receive(GET)
        connection.protocol.refuse_unfinished(503, "stopping")
        connection.answering.set()
        await connection.settle()
        assert connection.transport.written.startswith(b"HTTP/1.1 200")
        assert not connection.transport.closing

    drive(scene)
