"""What a stream of bytes is read as, however it is cut: held against uvicorn's own protocol."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from app.server.reading import MAX_HEAD_BYTES, ReadingProtocol
from tests.app.server.connections import Connection


@dataclass(frozen=True)
class Sent:
    """A request as a client writes it. chunks: None for a body with its length, if there is a body."""

    method: str
    target: str
    body: bytes = b""
    chunks: tuple[int, ...] | None = None
    blank_lines: int = 0
    headers: str = ""

    def raw(self, encoded: bool = False) -> bytes:
        target = quote(self.target, safe="/?=&%") if encoded else self.target
        head = "\r\n" * self.blank_lines + f"{self.method} {target} HTTP/1.1\r\nHost: a\r\n{self.headers}"
        if self.chunks is not None:
            return (head + "Transfer-Encoding: chunked\r\n\r\n").encode() + self._chunked()
        length = f"Content-Length: {len(self.body)}\r\n" if self.body else ""
        return f"{head}{length}\r\n".encode() + self.body

    def _chunked(self) -> bytes:
        ends = sorted({min(end, len(self.body)) for end in (self.chunks or ())} | {len(self.body)})
        parts = [self.body[a:b] for a, b in zip([0, *ends], ends, strict=False) if b > a]
        return b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in parts) + b"0\r\n\r\n"


def read(protocol: type, stream: bytes, cuts: list[int]) -> tuple[list[Any], bool]:
    """The requests that reached the app, and whether the connection was closed."""

    async def drive() -> tuple[list[Any], bool]:
        connection = Connection(protocol)
        ends = sorted({cut % (len(stream) + 1) for cut in cuts} | {len(stream)})
        for begin, end in zip([0, *ends], ends, strict=False):
            if end > begin:
                await connection.receive(stream[begin:end])
        return list(connection.requests), connection.transport.closing

    return asyncio.run(drive())


def requests(letters: str) -> st.SearchStrategy[Sent]:
    text = st.text(letters, max_size=12)
    return st.builds(
        Sent,
        method=st.sampled_from(["GET", "POST"]),
        target=text.map(lambda query: f"/generate?prefix={query}"),
        body=st.text(letters + '\r\n "{}0', max_size=40).map(str.encode),
        chunks=st.none() | st.lists(st.integers(0, 120), max_size=3).map(tuple),
        blank_lines=st.integers(0, 2),
        headers=st.sampled_from(["", "Accept: */*\r\n", "Content-Type: application/json\r\nX-A: b\r\n"]),
    )


ASCII = "abc09%=-"
ANY = ASCII + "分开é👩\u0080"


@hypothesis_settings(max_examples=150)
@given(st.lists(requests(ASCII), min_size=1, max_size=4), st.lists(st.integers(0, 10_000), max_size=8), st.booleans())
def test_ascii_is_read_as_uvicorn_reads_it(sent: list[Sent], cuts: list[int], close: bool) -> None:
    stream = b"".join(request.raw() for request in sent)
    if close:
        stream = stream.replace(b"Host: a", b"Host: a\r\nConnection: close", 1)
    assert read(ReadingProtocol, stream, cuts) == read(HttpToolsProtocol, stream, cuts)


@hypothesis_settings(max_examples=150)
@given(st.lists(requests(ANY), min_size=1, max_size=4), st.lists(st.integers(0, 10_000), max_size=8))
def test_raw_bytes_are_read_as_if_they_were_encoded(sent: list[Sent], cuts: list[int]) -> None:
    raw = b"".join(request.raw() for request in sent)
    encoded = b"".join(request.raw(encoded=True) for request in sent)
    got, closed = read(ReadingProtocol, raw, cuts)
    assert not closed
    assert (got, closed) == read(HttpToolsProtocol, encoded, [])
    assert [request[4] for request in got] == [request.body for request in sent]


PIPELINE = [
    Sent("POST", "/generate?prefix=分", '{"prefix": "开é\n0\r\n"}'.encode(), blank_lines=1),
    Sent("GET", "/generate?prefix=é", headers="X-Name: é\r\n"),
    Sent("POST", "/generate", "开\n0\r\n\r\n分开".encode(), chunks=(2, 4, 7)),
    Sent("POST", "/generate?prefix=%E5", "开".encode()),
]


def test_a_pipeline_is_read_alike_whatever_byte_it_is_cut_at() -> None:
    raw = b"".join(request.raw() for request in PIPELINE)
    encoded = b"".join(request.raw(encoded=True) for request in PIPELINE)
    expected = read(HttpToolsProtocol, encoded, [])
    assert len(expected[0]) == len(PIPELINE)
    for cut in range(len(raw) + 1):
        assert read(ReadingProtocol, raw, [cut]) == expected, cut
    assert read(ReadingProtocol, raw, list(range(len(raw)))) == expected


UPGRADES = {
    "websocket": "Connection: keep-alive, Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n",
    "what Java and curl send": "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAEAAEAA\r\n",
    "several protocols": "Connection: upgrade\r\nUpgrade: TLS/1.2, IRC/6.9, été\r\n",
    "two lines": "Upgrade: h2c\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n",
    "nothing": "Connection: Upgrade\r\nUpgrade:\r\n",
    "not named in Connection": "Upgrade: h2c\r\n",
}


def without_upgrade(requests: list[Any]) -> list[Any]:
    left_out = (b"upgrade", b"connection", b"http2-settings", b"sec-websocket-version")
    return [(*r[:3], [h for h in r[3] if h[0] not in left_out], r[4]) for r in requests]


@pytest.mark.parametrize("kind", UPGRADES)
@pytest.mark.parametrize("chunks", [None, (3,)])
def test_a_request_that_asks_for_an_upgrade_is_read_like_any_other(kind: str, chunks: tuple[int, ...] | None) -> None:
    plain = Sent("POST", "/generate?prefix=分", b"GET /models HTTP/1.1\r\n\r\n", chunks)
    upgrade = Sent("POST", "/generate?prefix=分", plain.body, chunks, headers=UPGRADES[kind])
    after = Sent("GET", "/models")
    expected, _ = read(HttpToolsProtocol, plain.raw(encoded=True) + after.raw(), [])
    stream = upgrade.raw() + after.raw()
    for cut in range(len(stream)):
        got, closed = read(ReadingProtocol, stream, [cut])
        assert not closed
        assert without_upgrade(got) == expected


@hypothesis_settings(max_examples=100)
@given(
    st.lists(st.tuples(requests(ANY), st.sampled_from([*UPGRADES.values(), ""])), min_size=1, max_size=4),
    st.lists(st.integers(0, 10_000), max_size=8),
)
def test_a_pipeline_with_upgrades_is_read_as_without_them(sent: list[tuple[Sent, str]], cuts: list[int]) -> None:
    plain = b"".join(request.raw() for request, _ in sent)
    asking = b"".join(replace(request, headers=request.headers + upgrade).raw() for request, upgrade in sent)
    expected, _ = read(ReadingProtocol, plain, [])
    got, closed = read(ReadingProtocol, asking, cuts)
    assert not closed
    assert without_upgrade(got) == expected


def answers(protocol_input: bytes) -> bytes:
    async def drive() -> bytes:
        connection = Connection(ReadingProtocol)
        await connection.receive(protocol_input)
        assert connection.transport.closing
        return connection.transport.written

    return asyncio.run(drive())


@pytest.mark.parametrize(
    ("stream", "status"),
    [
        (b"hello\r\n\r\n", b"400"),
        (b"CONNECT a:80 HTTP/1.1\r\nHost: a\r\n\r\n", b"400"),
        (b"GET /x HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nContent-Length: -1\r\n\r\n", b"400"),
        (b"GET /x HTTP/1.1\r\nX-A: " + b"a" * (MAX_HEAD_BYTES + 1), b"431"),
        (b"GET /x?" + "分".encode() * (MAX_HEAD_BYTES // 9 + 1), b"414"),
        (b"GET /x?" + b"a" * MAX_HEAD_BYTES + b" HTTP/1.1\r\nHost: a\r\n\r\n", b"414"),
        (b"GET /x HTTP/1.1\r\n" + b"X-A: b\r\n" * MAX_HEAD_BYTES, b"431"),
        (b"GET /x HTTP/1.1\r\n" + b"X-A: b\r\n" * (MAX_HEAD_BYTES // 8) + b"\r\n", b"431"),
        (b"\r\n" * MAX_HEAD_BYTES, b"431"),
        (b"POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5;" + b"a" * (MAX_HEAD_BYTES + 1), b""),
        (
            b"POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX: " + b"a" * (MAX_HEAD_BYTES + 1),
            b"",
        ),
    ],
)
def test_what_cannot_be_read_is_answered_once(stream: bytes, status: bytes) -> None:
    async def drive() -> tuple[bytes, list[dict[str, object]]]:
        connection = Connection(ReadingProtocol)
        await connection.receive(stream)
        await connection.receive(b"more\r\n")
        return connection.transport.written, connection.told

    written, told = asyncio.run(drive())
    if status:
        assert written.startswith(b"HTTP/1.1 " + status)
        assert written.count(b"HTTP/1.1") == 1
        head, _, body = written.partition(b"\r\n\r\n")
        assert b"\r\ncontent-type: application/problem+json\r\n" in head
        problem = json.loads(body)
        assert (problem["status"], problem["type"]) == (int(status), "about:blank")
        assert problem["title"].encode() in head.splitlines()[0]
        assert len(problem["detail"]) > 20
    else:  # the app has the request already, and is told why it ends
        assert [message["status"] for message in told] == [431]


@pytest.mark.parametrize("size", [1, 7, 1000])
@pytest.mark.parametrize(
    ("stream", "status", "words"),
    [
        (bytes.fromhex("16030100c8010000c40303") + b"a\n" * 70, 400, "TLS"),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505, "HTTP/2"),
        (b"GET /" + b"a" * (MAX_HEAD_BYTES + 1000), 414, "first line"),
        (b"GET /" + "分".encode() * (MAX_HEAD_BYTES // 9 + 500), 414, "first line"),
        (b"GET / HTTP/1.1\r\nX-A: " + b"a" * (MAX_HEAD_BYTES + 1000), 431, "head"),
    ],
)
def test_why_it_cannot_be_read_does_not_depend_on_how_it_is_cut(
    stream: bytes, status: int, words: str, size: int
) -> None:
    async def drive() -> bytes:
        connection = Connection(ReadingProtocol)
        for begin in range(0, len(stream), size):
            if not connection.transport.closing:
                connection.protocol.data_received(stream[begin : begin + size])
        return connection.transport.written

    written = asyncio.run(drive())
    assert written.startswith(b"HTTP/1.1 %d " % status)
    assert words in json.loads(written.split(b"\r\n\r\n", 1)[1])["detail"]


@pytest.mark.parametrize("chunks", [None, (500,)])
def test_a_body_goes_to_the_parser_in_as_few_pieces_however_many_lines_it_has(
    chunks: tuple[int, ...] | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def pieces(body: bytes) -> int:
        given: list[bytes] = []
        whole = ReadingProtocol._read

        def noted(self: ReadingProtocol, piece: bytes) -> None:
            given.append(piece)
            whole(self, piece)

        monkeypatch.setattr(ReadingProtocol, "_read", noted)
        assert read(ReadingProtocol, Sent("POST", "/x", body, chunks).raw(), [])[0][0][4] == body
        monkeypatch.undo()
        return len(given)

    assert pieces(b"\n" * 1000) == pieces(b"a" * 1000)


@pytest.mark.parametrize(
    ("client", "name"), [(("127.0.0.1", 5), "127.0.0.1:5"), (("::1", 5), "[::1]:5"), (None, "unknown")]
)
def test_a_client_has_a_name_in_the_log(client: tuple[str, int] | None, name: str) -> None:
    async def drive() -> str:
        connection = Connection(ReadingProtocol)
        connection.protocol.client = client
        written: str = connection.protocol.client_name()
        return written

    assert asyncio.run(drive()) == name


def test_trailers_are_not_headers() -> None:
    stream = b"POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\nX-API-Key: k\r\n\r\n"
    for cut in range(len(stream)):
        ((_, _, _, headers, body),) = read(ReadingProtocol, stream, [cut])[0]
        assert headers == [(b"host", b"a"), (b"transfer-encoding", b"chunked")]
        assert body == b"a"


def test_answers_that_are_due_go_out_before_a_connection_with_a_bad_request_closes() -> None:
    written = answers(Sent("GET", "/a").raw() + Sent("GET", "/b").raw() + b"nonsense\r\n\r\n")
    assert written.count(b"HTTP/1.1 200") == 2
    assert written.count(b"HTTP/1.1") == 2


def test_all_requests_of_a_connection_learn_that_their_client_is_gone() -> None:
    async def drive() -> list[bool]:
        connection = Connection(ReadingProtocol)
        connection.protocol.data_received(Sent("GET", "/a").raw() + Sent("GET", "/b").raw())
        cycles = list(connection.protocol._open)
        connection.protocol.connection_lost(None)
        return [cycle.disconnected for cycle in cycles]

    assert asyncio.run(drive()) == [True, True]
