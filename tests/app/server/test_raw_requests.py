"""Which bytes are a request, straight at a real process: framing that proxies disagree on, hosts, versions, targets."""

from __future__ import annotations

import json
import re
import socket
from pathlib import Path
from typing import Any

import pytest

from app.main import create_app
from app.server.reading import MAX_HEAD_BYTES
from tests.app.conftest import Server, settings
from tests.app.every_route import Example, examples

BODY = b'{"prefix":"a","num_chars":3}'


@pytest.fixture(scope="module")
def server(unshared_server: Server) -> Server:
    return unshared_server


def raw(*lines: bytes, first: bytes = b"GET /models HTTP/1.1", host: bytes = b"Host: a", body: bytes = b"") -> bytes:
    """A request; its connection closes behind it."""
    head = [first, *([host] if host else []), *lines, b"Connection: close"]
    return b"\r\n".join([*head, b"", b""]) + body


def post(*lines: bytes, body: bytes = BODY) -> bytes:
    return raw(b"Content-Type: application/json", *lines, first=b"POST /generate HTTP/1.1", body=body)


def chunked(body: bytes, coding: bytes = b"chunked") -> bytes:
    return post(b"Transfer-Encoding: " + coding, body=body)


WHOLE = b"%x\r\n%s\r\n0\r\n\r\n" % (len(BODY), BODY)
HEX = b"%x" % len(BODY)
LENGTH = b"Content-Length: %d" % len(BODY)
TLS = bytes.fromhex("16030100c8010000c40303") + b"a\n" * 70

# What is sent ↦ the status, and words of the sentence where it is refused before the app has it.
REQUESTS: dict[str, tuple[bytes, int, str]] = {
    "a plain one": (raw(), 200, ""),
    "with a body": (post(LENGTH), 200, ""),
    "with chunks": (chunked(WHOLE), 200, ""),
    "with chunk extensions": (chunked(WHOLE.replace(b"\r\n", b";a=b;c\r\n", 1)), 200, ""),
    "with blank lines before": (b"\r\n\r\n" + raw(), 200, ""),
    "with Latin-1 in a header": (raw(b"X-A: \xe9"), 200, ""),
    "space behind a length": (post(LENGTH + b" "), 200, ""),
    "a name with an underscore is another name": (post(b"Transfer_Encoding: chunked", LENGTH), 200, ""),
    # Two ideas of where a body ends.
    "length, then chunks": (post(LENGTH, b"Transfer-Encoding: chunked", body=WHOLE), 400, "Content-Length"),
    "chunks, then length": (post(b"Transfer-Encoding: chunked", LENGTH, body=WHOLE), 400, "Content-Length"),
    "two lengths": (post(LENGTH, b"Content-Length: 5"), 400, "Content-Length"),
    "one length twice": (post(LENGTH, LENGTH), 400, "Content-Length"),
    "a list of lengths": (post(LENGTH + b", 28"), 400, "Content-Length"),
    "a length with a sign": (post(b"Content-Length: +28"), 400, "Content-Length"),
    "a negative length": (post(b"Content-Length: -28"), 400, "Content-Length"),
    "a length in hex": (post(b"Content-Length: 0x1c"), 400, "Content-Length"),
    "an empty length": (post(b"Content-Length:"), 400, "Content-Length"),
    "a length with an underscore": (post(b"Content-Length: 2_8"), 400, "Content-Length"),
    "a length beyond 64 bits": (post(b"Content-Length: 99999999999999999999"), 400, "Content-Length"),
    "gzip alone": (chunked(WHOLE, b"gzip"), 400, "'gzip' does not end with chunked"),
    "gzip in chunks": (chunked(WHOLE, b"gzip, chunked"), 501, "'gzip, chunked'"),
    "chunks in gzip": (chunked(WHOLE, b"chunked, gzip"), 400, "Transfer-Encoding"),
    "chunks in chunks": (chunked(WHOLE, b"chunked, chunked"), 400, "Transfer-Encoding"),
    "identity": (chunked(WHOLE, b"identity"), 400, "'identity' does not end"),
    "nearly chunked": (chunked(WHOLE, b"xchunked"), 400, "'xchunked' does not end"),
    "chunked in quotes": (chunked(WHOLE, b'"chunked"'), 400, "does not end"),
    "chunked behind a tab of its own kind": (chunked(WHOLE, b"\x0bchunked"), 400, "Invalid header value"),
    "chunks in HTTP/1.0": (chunked(WHOLE).replace(b"HTTP/1.1", b"HTTP/1.0"), 400, "not known in HTTP/1.0"),
    # Chunks that are none: the app has the request, and answers.
    **{
        name: (chunked(size + b"\r\n" + BODY + b"\r\n0\r\n\r\n"), 400, "hunk")
        for name, size in {
            "a chunk's size with a sign": b"+" + HEX,
            "a negative chunk": b"-" + HEX,
            "a chunk's size as 0x": b"0x" + HEX,
            "a chunk's size with junk": HEX + b"x",
            "a chunk's size with an underscore": b"0_" + HEX,
            "a chunk's size with a space behind": HEX + b" ",
            "a chunk's size with a space before": b" " + HEX,
            "a chunk without a size": b"",
            "a chunk beyond 64 bits": b"f" * 17,
            "a chunk that is too short": b"5",
        }.items()
    },
    "a chunk's size that ends with LF": (chunked(HEX + b"\n" + BODY + b"\r\n0\r\n\r\n"), 400, "chunk"),
    "an extension that ends with LF": (chunked(HEX + b";a\n" + BODY + b"\r\n0\r\n\r\n"), 400, "chunk"),
    "a chunk that ends with LF": (chunked(HEX + b"\r\n" + BODY + b"\n0\r\n\r\n"), 400, "chunk"),
    "a length behind the chunks": (chunked(WHOLE[:-2] + b"Content-Length: 9\r\n\r\n"), 400, "Content-Length"),
    # Lines.
    "a folded line": (raw(b"X-A: b\r\n c"), 400, "whitespace"),
    "a first header that is folded": (raw(host=b" Host: a"), 400, "space"),
    "a space before a colon": (raw(b"X-A : b"), 400, "header"),
    "a header without a colon": (raw(b"X-A"), 400, "header"),
    "a header without a name": (raw(b": b"), 400, "header"),
    "a space in a name": (raw(b"X A: b"), 400, "header"),
    "UTF-8 in a name": (raw("X-é: b".encode()), 400, "header"),
    "CR in a value": (raw(b"X-A: b\rc"), 400, "header"),
    "LF alone": (raw(b"X-A: b\nX-B: c"), 400, "header"),
    "LF alone everywhere": (raw().replace(b"\r\n", b"\n"), 400, "CRLF"),
    "NUL in a value": (raw(b"X-A: b\0c"), 400, "header"),
    # Request lines.
    "a space in the target": (raw(first=b"GET /generate?prefix=a b HTTP/1.1"), 400, "%20"),
    "a fragment": (raw(first=b"GET /generate?prefix=C#&num_chars=3 HTTP/1.1"), 400, "%23"),
    "a control character in the target": (raw(first=b"GET /\x01 HTTP/1.1"), 400, "url"),
    "a target that is no path": (raw(first=b"GET models HTTP/1.1"), 400, "neither a path"),
    "a method in small letters": (raw(first=b"get /models HTTP/1.1"), 400, "method"),
    "a method that nobody knows": (raw(first=b"BREW /models HTTP/1.1"), 400, "method"),
    "a method that the app does not take": (raw(first=b"TRACE /models HTTP/1.1"), 405, ""),
    "a space before the method": (raw(first=b" GET /models HTTP/1.1"), 400, "method"),
    "a space behind the version": (raw(first=b"GET /models HTTP/1.1 "), 400, "version"),
    "a star without OPTIONS": (raw(first=b"GET * HTTP/1.1"), 400, "OPTIONS"),
    "CONNECT": (raw(first=b"CONNECT a:80 HTTP/1.1"), 400, "CONNECT"),
    "a first line over the limit": (raw(first=b"GET /" + b"a" * MAX_HEAD_BYTES + b" HTTP/1.1"), 414, "first line"),
    "raw bytes over the limit": (b"GET /?" + "分".encode() * (MAX_HEAD_BYTES // 9 + 1), 414, "first line"),
    "a head over the limit": (raw(*[b"X-A: b"] * (MAX_HEAD_BYTES // 8)), 431, "head"),
    # Other versions and other protocols.
    "HTTP/0.9": (b"GET /models\r\n\r\n", 505, "HTTP/0.9"),
    "HTTP/1.2": (raw(first=b"GET /models HTTP/1.2"), 505, "version"),
    "HTTP/2.0": (raw(first=b"GET /models HTTP/2.0"), 505, "HTTP/2.0"),
    "HTTP/9.9": (raw(first=b"GET /models HTTP/9.9"), 505, "version"),
    "HTTP/2 that was not agreed upon": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505, "HTTP/2"),
    "TLS": (TLS, 400, "TLS"),
    "the PROXY protocol": (b"PROXY TCP4 1.2.3.4 1.2.3.4 5 6\r\n" + raw(), 400, "PROXY"),
    # Hosts.
    "no host": (raw(host=b""), 400, "Host: is missing"),
    "no host in HTTP/1.0": (raw(first=b"GET /models HTTP/1.0", host=b""), 200, ""),
    "two hosts": (raw(b"Host: x"), 400, "Host: is given 2 times"),
    "one host twice": (raw(b"Host: a"), 400, "Host: is given 2 times"),
    "two hosts in HTTP/1.0": (raw(b"Host: x", first=b"GET /models HTTP/1.0"), 400, "Host: is given 2 times"),
    **{
        f"the host {host.decode()!r}": (raw(host=b"Host: " + host), 400, "Host: '")
        for host in (b"", b"a, x", b"a,x", b"u@a", b"u:p@a", b"a/b", b"http://a", b"a?b", b"a b", b"a:b", b"[::1")
    },
    "a host with a port": (raw(host=b"Host: a:18000"), 200, ""),
    "a host with an empty port": (raw(host=b"Host: a:"), 200, ""),
    "an address as host": (raw(host=b"Host: 127.0.0.1:80"), 200, ""),
    "an IPv6 address as host": (raw(host=b"Host: [::1]:80"), 200, ""),
    "a host that is not ours": (raw(host=b"Host: elsewhere"), 421, ""),
    # Targets with a host, which takes the place of the header.
    "a host in the target": (raw(first=b"GET http://a/models HTTP/1.1"), 200, ""),
    "another in the header": (raw(first=b"GET http://a:80/models HTTP/1.1", host=b"Host: elsewhere"), 200, ""),
    "another in the target": (raw(first=b"GET http://elsewhere/models HTTP/1.1"), 421, ""),
    "one in the target of HTTP/1.0": (raw(first=b"GET http://elsewhere/models HTTP/1.0", host=b""), 421, ""),
    "a target with a host and a query": (raw(first=b"GET HTTP://a/generate?prefix=a&num_chars=3 HTTP/1.1"), 200, ""),
    "a target with a host and no path": (raw(first=b"GET http://a HTTP/1.1"), 200, ""),
    "one in the target alone": (raw(first=b"GET http://a/models HTTP/1.1", host=b""), 400, "Host: is missing"),
    "a user in the target": (raw(first=b"GET http://u:p@a/models HTTP/1.1"), 400, "host in the request's target"),
    "an empty host in the target": (raw(first=b"GET http:///models HTTP/1.1"), 400, ""),
    "another scheme": (raw(first=b"GET ftp://a/models HTTP/1.1"), 400, "http://"),
}


def exchange(server: Server, sent: bytes) -> bytes:
    """All that comes until the server closes."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=60) as connection:
        connection.sendall(sent)
        received = b""
        try:
            while part := connection.recv(65536):
                received += part
        except ConnectionResetError:
            pass  # it closed with something unread
        return received


def body_of(answer: bytes) -> dict[str, Any]:
    body: dict[str, Any] = json.loads(answer.split(b"\r\n\r\n", 1)[1])
    return body


@pytest.mark.parametrize("name", REQUESTS)
def test_a_request_is_taken_or_refused_with_a_sentence_and_the_connection_ends(server: Server, name: str) -> None:
    sent, status, words = REQUESTS[name]
    answer = exchange(server, sent)
    assert answer.startswith(b"HTTP/1.1 %d " % status), answer[:500]
    assert len(re.findall(rb"HTTP/1.1 \d\d\d ", answer)) == 1
    if words:
        assert b"\r\ncontent-type: application/problem+json\r\n" in answer
        assert b"\r\nconnection: close\r\n" in answer.lower()
        problem = body_of(answer)
        assert problem["status"] == status
        assert words in problem["detail"]


def lines_of(server: Server, client: str) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in server.log().splitlines() if line.startswith("{")]
    return [line for line in lines if line.get("client") == client]


@pytest.mark.parametrize("name", [name for name in REQUESTS if REQUESTS[name][2]])
def test_who_sent_what_cannot_be_read_and_why_is_logged_once(server: Server, name: str) -> None:
    sent, status, words = REQUESTS[name]
    with socket.create_connection(("127.0.0.1", server.port), timeout=60) as connection:
        host, port = connection.getsockname()
        connection.sendall(sent)
        while connection.recv(65536):
            pass
    [line] = lines_of(server, f"{host}:{port}")
    assert (line["level"], line["event"], line["status"]) == ("warning", "a request cannot be read", status)
    assert words in line["detail"]


def test_what_people_write_is_not_logged_with_it(server: Server) -> None:
    secret = b"Jabberwocky"
    for first in (b"GET /generate?prefix=%s b HTTP/1.1", b"GET /%s# HTTP/1.1", b"GET %s HTTP/1.1", b"%s / HTTP/1.1"):
        assert exchange(server, raw(first=first % secret)).startswith(b"HTTP/1.1 400 ")
    assert secret.decode() not in server.log()


def test_nothing_of_a_clients_stands_in_the_log_as_it_came(server: Server) -> None:
    sent = raw(host=b'Host: "\x1b[31m\xff' + b"a" * 1000)
    assert exchange(server, sent).startswith(b"HTTP/1.1 400 ")
    sent = raw(host=b'Host: "\xff\xfe' + b"a" * 1000)
    assert "\\xff\\xfeaaa" in body_of(exchange(server, sent))["detail"]
    assert "\x1b" not in server.log()
    assert "a" * 70 not in server.log()


# HTTP/1.0 and 100-continue.

ROUTES = list(examples(create_app(settings(Path("none")))))


def names_of(head: bytes) -> set[bytes]:
    return {line.partition(b":")[0] for line in head.lower().splitlines()[1:]}


@pytest.mark.parametrize("example", ROUTES, ids=str)
@pytest.mark.parametrize("line", ["Accept: */*", "Connection: keep-alive"])
def test_http_1_0_gets_an_answer_without_chunks_whose_connection_closes(
    server: Server, example: Example, line: str
) -> None:
    head, body = exchange(server, example.raw(line, version="1.0")).split(b"\r\n\r\n", 1)
    assert head.startswith(b"HTTP/1.1 200 ")
    assert b"\r\nconnection: close" in head.lower()
    head_of_1_1, _ = exchange(server, example.raw("Connection: close")).split(b"\r\n\r\n", 1)
    assert names_of(head) == names_of(head_of_1_1) - {b"transfer-encoding"}
    length = re.search(rb"\r\ncontent-length: (\d+)", head.lower())
    assert body
    assert length is None or int(length[1]) == len(body)


LONG = b"GET /generate?prefix=a&num_chars=300&logprobs=20 HTTP/1.%d\r\nHost: a\r\nConnection: close\r\n\r\n"
STREAM = LONG.replace(b"logprobs=20", b"stream=true")


def test_a_long_answer_ends_for_http_1_0_with_its_connection(server: Server) -> None:
    head, body = exchange(server, LONG % 0).split(b"\r\n\r\n", 1)
    assert names_of(head).isdisjoint({b"transfer-encoding", b"content-length"})
    head, chunks = exchange(server, LONG % 1).split(b"\r\n\r\n", 1)
    assert b"\r\ntransfer-encoding: chunked" in head.lower()
    assert {**json.loads(body), "timing": None} == {**json.loads(joined(chunks)), "timing": None}


def test_a_stream_ends_for_http_1_0_with_its_connection(server: Server) -> None:
    head, body = exchange(server, STREAM % 0).split(b"\r\n\r\n", 1)
    assert names_of(head).isdisjoint({b"transfer-encoding", b"content-length"})
    assert {line.partition(b":")[0] for line in body.split(b"\n")} == {b"event", b"data", b"id", b""}
    assert body.endswith(b"\nid: done\n\n")
    head, chunks = exchange(server, STREAM % 1).split(b"\r\n\r\n", 1)
    assert b"\r\ntransfer-encoding: chunked" in head.lower()
    assert joined(chunks).endswith(b"\nid: done\n\n")


def joined(chunks: bytes) -> bytes:
    body = b""
    while chunks:
        size, _, rest = chunks.partition(b"\r\n")
        length = int(size, 16)
        body, chunks = body + rest[:length], rest[length + 2 :]
    return body


@pytest.mark.parametrize("example", [example for example in ROUTES if example.body], ids=str)
def test_a_client_of_http_1_0_gets_no_100_and_one_of_1_1_does(server: Server, example: Example) -> None:
    expecting = "Expect: 100-continue"
    assert exchange(server, example.raw(expecting, version="1.0")).startswith(b"HTTP/1.1 200 ")
    whole = example.raw(expecting, "Connection: close")
    with socket.create_connection(("127.0.0.1", server.port), timeout=60) as connection:
        connection.sendall(whole[: -len(example.body)])
        assert connection.recv(65536) == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.sendall(example.body)
        assert connection.recv(65536).startswith(b"HTTP/1.1 200 ")


def test_options_for_the_whole_server_reach_the_app(server: Server) -> None:
    for first in (b"OPTIONS * HTTP/1.1", b"OPTIONS http://a HTTP/1.1"):
        answer = exchange(server, raw(first=first))
        assert re.match(rb"HTTP/1\.1 (2\d\d|404|405) ", answer), answer
        assert b"\r\nx-request-id: " in answer.lower()


def test_another_expectation_is_ignored(server: Server) -> None:
    assert exchange(server, post(LENGTH, b"Expect: 200-ok")).startswith(b"HTTP/1.1 200 ")
