"""A real server process, over real sockets: what only shows on the wire."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest

from model import checkpoint as checkpoints
from tests.app.conftest import Server, eventually
from tests.reference import predict_rnn


def exchange(server: Server, request: bytes, timeout_s: float = 10.0) -> bytes:
    """Everything the server answers until it closes or has nothing more to say for a moment."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=timeout_s) as connection:
        connection.sendall(request)
        answer = b""
        try:
            while part := connection.recv(65536):
                answer += part
                connection.settimeout(0.3)
        except (TimeoutError, ConnectionResetError):
            pass
        return answer


def status_of(answer: bytes) -> int:
    return int(answer.split(b" ", 2)[1])


def still_writes(server: Server) -> bool:
    return len(httpx.get(f"{server.url}/generate", params={"prefix": "a", "num_chars": 7}).json()["generated"]) == 7


def test_the_chapters_request_is_answered_as_curl_sends_it(server: Server, models_dir: Path) -> None:
    expected = predict_rnn("分开", 100, checkpoints.load(models_dir / "tiny"))
    for prefix in ("分开".encode(), quote("分开").encode()):
        request = b"POST /generate?prefix=" + prefix + b"&num_chars=100 HTTP/1.1\r\nHost: a\r\nAccept: */*\r\n\r\n"
        answer = exchange(server, request)
        assert status_of(answer) == 200, answer
        assert json.loads(answer.split(b"\r\n\r\n", 1)[1])["text"] == expected


def test_raw_bytes_in_a_url_are_read_on_a_kept_connection_and_in_pieces(server: Server) -> None:
    request = "GET /generate?prefix=分开&num_chars=3 HTTP/1.1\r\nHost: a\r\n\r\n".encode()
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as connection:
        for _ in range(2):
            for at in range(0, len(request), 7):
                connection.sendall(request[at : at + 7])
                time.sleep(0.002)
            answer = b""
            while b'"timing"' not in answer:
                answer += connection.recv(65536)
            assert status_of(answer) == 200


BAD_REQUESTS = {
    "bad UTF-8 in the query": (b"GET /generate?prefix=%ff HTTP/1.1\r\nHost: a\r\n\r\n", {422}),
    "raw bad UTF-8 in the query": (b"GET /generate?prefix=\xff HTTP/1.1\r\nHost: a\r\n\r\n", {422}),
    "NUL in the query": (b"GET /generate?prefix=%00 HTTP/1.1\r\nHost: a\r\n\r\n", {422}),
    "a URL of 300,000 bytes": (
        b"GET /generate?prefix=" + b"a" * 300_000 + b" HTTP/1.1\r\nHost: a\r\n\r\n",
        {400, 413, 414, 422, 431},
    ),
    "5,000 headers": (
        b"GET /generate?prefix=a HTTP/1.1\r\nHost: a\r\n" + b"X-A: b\r\n" * 5000 + b"\r\n",
        {400, 413, 431},
    ),
    "both Transfer-Encoding and Content-Length": (
        b"POST /generate HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: 5\r\n"
        b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        {400},
    ),
    "two lengths": (
        b"POST /generate HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
        {400},
    ),
    "a negative length": (b"POST /generate HTTP/1.1\r\nHost: a\r\nContent-Length: -5\r\n\r\n", {400}),
    "a body that claims 50 MB": (
        b"POST /generate HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: 52428800\r\n\r\n{",
        {413},
    ),
    "a body of 2 MB that claims nothing": (
        b"POST /generate HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
        + (b"10000\r\n" + b" " * 65536 + b"\r\n") * 32,
        {413},
    ),
    "a name with an encoded way up": (b"GET /models/%2e%2e%2f%2e%2e%2fetc HTTP/1.1\r\nHost: a\r\n\r\n", {404}),
    "a name with a way up": (b"GET /models/../../etc/passwd HTTP/1.1\r\nHost: a\r\n\r\n", {404}),
    "a name with NUL": (b"GET /models/tiny%00 HTTP/1.1\r\nHost: a\r\n\r\n", {404}),
    "a name of 5,000 letters": (b"GET /models/" + b"a" * 5000 + b" HTTP/1.1\r\nHost: a\r\n\r\n", {404}),
    "not HTTP": (b"hello\r\n\r\n", {400}),
    "no such method": (b"BREW /generate HTTP/1.1\r\nHost: a\r\n\r\n", {400, 405}),
}


@pytest.mark.parametrize("name", BAD_REQUESTS)
def test_a_bad_request_is_a_4xx_within_a_second_and_the_server_goes_on(server: Server, name: str) -> None:
    request, statuses = BAD_REQUESTS[name]
    answer = exchange(server, request, timeout_s=2.0)
    assert status_of(answer) in statuses, answer[:300]
    assert still_writes(server)


def test_text_of_any_script_is_text(server: Server) -> None:
    for prefix in ("e\u0301", "👩\u200d🚀", "שלום", "ا\u064b", "\u202eabc"):
        body = httpx.get(f"{server.url}/generate", params={"prefix": prefix, "unknown": "error"}).json()
        assert body["status"] == 422
        assert body["errors"][0]["unknown"][0]["character"] in "é👩\u200d🚀שלוםا\u064b\u202e"


def figure(server: Server, name: str) -> float:
    """Of the model tiny, as /metrics has it."""
    (value,) = re.findall(rf'^nextchar_{name}{{model="tiny"}} (\S+)$', httpx.get(f"{server.url}/metrics").text, re.M)
    return float(value)


@pytest.mark.parametrize("stream", ["true", "false"])
def test_a_client_that_leaves_frees_its_row(server: Server, stream: str) -> None:
    before = figure(server, "requests_cancelled_total")
    connections = []
    for _ in range(5):
        connection = socket.create_connection(("127.0.0.1", server.port))
        connection.sendall(
            b"GET /generate?prefix=a&num_chars=10000&n=16&logprobs=20&stream=%s HTTP/1.1\r\nHost: a\r\n\r\n"
            % stream.encode()
        )
        connections.append(connection)
    eventually(lambda: figure(server, "num_requests_running"))
    for connection in connections:
        connection.close()
    # Rows of an unread stream rest, and then none runs though its client is there still: who left counts.
    eventually(lambda: figure(server, "requests_cancelled_total") > before)
    eventually(lambda: figure(server, "num_requests_running") == 0)
    assert still_writes(server)


def test_a_client_that_reads_slowly_holds_nobody_back(server: Server) -> None:
    with socket.create_connection(("127.0.0.1", server.port)) as slow:
        slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        slow.sendall(b"GET /generate?prefix=a&num_chars=10000&logprobs=20&stream=true HTTP/1.1\r\nHost: a\r\n\r\n")
        time.sleep(0.1)
        for _ in range(20):
            assert still_writes(server)


def test_requests_under_load_get_the_text_they_get_alone(server: Server, models_dir: Path) -> None:
    checkpoint = checkpoints.load(models_dir / "tiny")
    prefixes = ["分开", "不分开", "战争中部队", "abc", "z"]
    expected = {prefix: predict_rnn(prefix, 60, checkpoint) for prefix in prefixes}
    wrong: list[str] = []

    def ask(number: int) -> None:
        with httpx.Client() as client:
            for turn in range(10):
                prefix = prefixes[(number + turn) % len(prefixes)]
                body = client.get(f"{server.url}/generate", params={"prefix": prefix, "num_chars": 60}).json()
                if body["text"] != expected[prefix]:
                    wrong.append(body["text"])

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


@pytest.mark.parametrize("number", [signal.SIGTERM, pytest.param(signal.SIGINT, marks=pytest.mark.slow)])
def test_at_a_signal_open_requests_finish_new_ones_get_503_and_it_exits_0(
    models_dir: Path, tmp_path: Path, number: signal.Signals
) -> None:
    # No time is limited here but by how long the answer takes, on whatever machine.
    settings: dict[str, Any] = {
        "NEXTCHAR_REQUEST_TIMEOUT_S": "600", "NEXTCHAR_DRAIN_S": "600", "NEXTCHAR_MAX_NUM_CHARS": "1000000",
    }  # fmt: skip
    server = Server(tmp_path, models_dir, **settings)
    answers: list[httpx.Response] = []

    def long() -> None:
        answers.append(httpx.get(f"{server.url}/generate", params={"prefix": "a", "num_chars": 10_000}, timeout=600))

    thread = threading.Thread(target=long)
    thread.start()
    while 'running{model="tiny"} 1.0' not in httpx.get(f"{server.url}/metrics").text:
        pass
    server.process.send_signal(number)
    while (ready := httpx.get(f"{server.url}/readyz")).status_code == 200:
        pass
    assert ready.json()["status"] == "stopping"
    refused = httpx.get(f"{server.url}/generate", params={"prefix": "a"})
    assert refused.status_code == 503
    assert "retry-after" in refused.headers
    thread.join()
    assert answers[0].status_code == 200
    assert len(answers[0].json()["generated"]) == 10_000
    assert server.process.wait(30) == 0, server.log()
    assert "Traceback" not in server.log()


def test_neither_prefixes_nor_keys_are_logged(models_dir: Path, tmp_path: Path) -> None:
    server = Server(tmp_path, models_dir, NEXTCHAR_API_KEYS="a-key-that-is-secret", NEXTCHAR_LOG_LEVEL="debug")
    headers = {"Authorization": "Bearer a-key-that-is-secret", "X-Request-ID": "followed-42"}
    for prefix in ("abcabcabc", "本本本"):
        httpx.get(f"{server.url}/generate", params={"prefix": prefix}, headers=headers)
        httpx.post(f"{server.url}/generate", json={"prefix": prefix, "num_chars": 0}, headers=headers)
    exchange(server, b"GET /generate?prefix=abcabcabc HTTP/9\r\n\r\n")
    assert server.stop() == 0
    log = server.log()
    assert '"request_id": "followed-42"' in log
    assert all(secret not in log for secret in ("abcabcabc", "本", "%E6%9C%AC", "\\u672c", "a-key-that-is-secret"))


@pytest.mark.slow  # server/test_upgrade.py asks every route with one
def test_a_handshake_passes_key_metrics_and_log_like_any_request(models_dir: Path, tmp_path: Path) -> None:
    handshake = (
        b"GET /generate?prefix=abcabcabc HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: %s\r\n"
        b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n%s\r\n"
    )
    key = "a-key-that-is-secret"
    with Server(tmp_path, models_dir, NEXTCHAR_API_KEYS=key, NEXTCHAR_LOG_LEVEL="debug") as server:
        for upgrade in (b"websocket", b"h2c"):
            assert status_of(exchange(server, handshake % (upgrade, b""))) == 401
            assert status_of(exchange(server, handshake % (upgrade, b"X-API-Key: %s\r\n" % key.encode()))) == 200
        metrics = httpx.get(f"{server.url}/metrics", headers={"X-API-Key": key}).text
        assert server.stop() == 0
    counted = re.findall(r'^nextchar_request_count_total\{.*status="401".*\} (.*)$', metrics, re.M)
    assert counted == ["2.0"], metrics
    log = server.log()
    assert log.count('"status": 401') == 2
    assert "abcabcabc" not in log


@pytest.mark.slow  # test_settings.py has each of them
def test_settings_that_cannot_be_used_are_told_in_one_line_each(models_dir: Path, tmp_path: Path) -> None:
    environment = {**os.environ, "NEXTCHAR_PORT": "x", "NEXTCHAR_PROT": "1"}
    result = subprocess.run([sys.executable, "-m", "app"], env=environment, capture_output=True, text=True, check=False)
    assert result.returncode == 2
    assert sorted(line.split(":")[0].split(" ")[0] for line in result.stderr.splitlines()) == [
        "NEXTCHAR_PORT",
        "NEXTCHAR_PROT",
    ]


@pytest.mark.slow
def test_a_port_in_use_is_an_exit_status_not_a_hang(server: Server, models_dir: Path, tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="address already in use"):
        Server(tmp_path, models_dir, NEXTCHAR_PORT=str(server.port))


@pytest.mark.slow
def test_a_client_that_leaves_pipelined_requests_behind_is_a_499_and_no_error(models_dir: Path, tmp_path: Path) -> None:
    server = Server(tmp_path, models_dir, NEXTCHAR_MAX_NUM_CHARS="10000000", NEXTCHAR_MAX_ANSWER_MB="4096")
    body = b'{"prefix":"a","num_chars":10000000}'
    head = b"POST /generate HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(
        body
    )
    running = 'nextchar_num_requests_running{model="tiny"} %s.0'
    with socket.create_connection(("127.0.0.1", server.port)) as connection:
        connection.sendall((head + body) * 2 + head + body[:-5])
        wait_for(server, running % 1)
    wait_for(server, running % 0)
    assert server.stop() == 0
    log = [json.loads(line) for line in server.log().splitlines() if line.startswith("{")]
    answers = [line["status"] for line in log if line["event"] == "request" and line["route"] == "/generate"]
    assert answers
    assert set(answers) == {499}
    assert not [line for line in log if line["level"] in ("warning", "error")]


def wait_for(server: Server, line: str) -> None:
    deadline = time.monotonic() + 60
    while line not in httpx.get(f"{server.url}/metrics").text:
        assert time.monotonic() < deadline, line
        time.sleep(0.02)
