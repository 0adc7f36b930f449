"""A request that offers to speak something else is answered as if it did not, whatever it offers: RFC 9110 §7.8."""

from __future__ import annotations

import json
import re
import shutil
import socket
import subprocess
from itertools import chain
from pathlib import Path

import pytest

from app.main import create_app
from tests import programs
from tests.app.conftest import Server, settings
from tests.app.every_route import Example, examples

JAVA = Path(__file__).parent / "Client.java"
ROUTES = list(examples(create_app(settings(Path("none")))))
OFFERS = {
    "h2c": ["Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAEAAEAAAAIAAAABAAMAAABkAAQBAAAA"],
    "websocket": ["Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Key: x", "Sec-WebSocket-Version: 13"],
    "anything": ["Upgrade: TLS/1.3, a/b", "Connection: keep-alive, upgrade"],
}


@pytest.fixture(scope="module")
def server(unshared_server: Server) -> Server:
    return unshared_server


def status_lines(answers: bytes) -> list[bytes]:
    return re.findall(rb"HTTP/1\.1 (\d\d\d) ", answers)


def exchange(server: Server, *pieces: bytes) -> bytes:
    with socket.create_connection(("127.0.0.1", server.port), timeout=60) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for piece in pieces:
            connection.sendall(piece)
        return b"".join(iter(lambda: connection.recv(65536), b""))


def in_chunks(example: Example, *lines: str) -> bytes:
    head = example.raw(*lines)[: -len(example.body)]
    length = b"Content-Length: %d\r\n" % len(example.body)
    body = example.body
    chunks = b"3\r\n" + body[:3] + b"\r\n%x\r\n" % len(body[3:]) + body[3:] + b"\r\n0\r\n\r\n"
    return head.replace(length, b"Transfer-Encoding: chunked\r\n") + chunks


LAST = b"GET /models HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"


@pytest.mark.parametrize("offer", OFFERS)
@pytest.mark.parametrize("example", ROUTES, ids=str)
def test_each_route_answers_it_and_what_follows_on_its_connection(server: Server, example: Example, offer: str) -> None:
    sent = example.raw(*OFFERS[offer]) + (in_chunks(example, *OFFERS[offer]) if example.body else b"")
    answers = exchange(server, sent + LAST)
    assert status_lines(answers) == [b"200"] * (3 if example.body else 2)


@pytest.mark.parametrize("example", [example for example in ROUTES if example.body], ids=str)
def test_its_body_may_be_cut_anywhere(server: Server, example: Example) -> None:
    for sent in (example.raw(*OFFERS["h2c"]) + LAST, in_chunks(example, *OFFERS["h2c"]) + LAST):
        for cut in range(1, len(sent), 9):
            assert status_lines(exchange(server, sent[:cut], sent[cut:])) == [b"200", b"200"], cut


def test_nothing_is_logged_of_the_offer(server: Server) -> None:
    assert status_lines(exchange(server, b"".join(e.raw(*OFFERS["h2c"]) for e in ROUTES) + LAST))
    lines = [json.loads(line) for line in server.log().splitlines() if line.startswith("{")]
    assert not [line for line in lines if line["level"] in ("warning", "error")]


def test_curl_that_offers_http_2_is_answered(server: Server) -> None:
    curl = programs.require("curl")
    if "HTTP2" not in subprocess.run([curl, "--version"], capture_output=True, text=True, check=True).stdout:
        pytest.skip("this curl cannot offer HTTP/2")
    sent = json.dumps({"prefix": "a", "num_chars": 3})
    json_body = ["-H", "Content-Type: application/json", "-d", sent]
    for more in (json_body, [*json_body, "-H", "Transfer-Encoding: chunked"]):
        command = [curl, "-sS", "--http2", "--max-time", "60", f"{server.url}/generate", *more]
        result = subprocess.run(command, capture_output=True, text=True, check=False)
        assert len(json.loads(result.stdout)["generated"]) == 3, result


@pytest.mark.slow
def test_javas_own_client_is_answered_by_each_route(server: Server) -> None:
    """It keeps its connection, so each request but the first follows another that offered h2c."""
    java = shutil.which("java")
    if java is None:
        pytest.skip("needs a JDK, which is not installed")
    asked = list(chain.from_iterable((e.method, e.target, e.body.decode()) for e in ROUTES))
    command = [java, "-XX:TieredStopAtLevel=1", str(JAVA), server.url, *asked]
    result = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    if "ClassNotFoundException" in result.stderr or "no compiler" in result.stderr.lower():
        pytest.skip("needs a JDK; this Java is without a compiler")
    assert result.returncode == 0, result.stderr
    lines = result.stdout.splitlines()
    assert [line.split()[:2] for line in lines] == [["200", "HTTP_1_1"]] * 2 * len(ROUTES), lines
