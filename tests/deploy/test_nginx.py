"""nginx as it stands in front of the service: real nginx, real server, real sockets."""

from __future__ import annotations

import http.client
import json
import re
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest

from app.server.reading import MAX_HEAD_BYTES
from app.settings import Settings
from tests.app.conftest import Server
from tests.deploy.nginx import Nginx
from tests.image.dockerfile import ROOT
from tests.programs import require

# A header that is not finished is closed after 10 s; the tests wait for less.
SHORT = {"client_header_timeout 10s": "client_header_timeout 1s", "client_body_timeout 10s": "client_body_timeout 1s"}
UNLIMITED = {"rate=20r/s": "rate=10000r/s"}


@pytest.fixture(scope="module")
def service(models_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with Server(
        tmp_path_factory.mktemp("server"), models_dir, NEXTCHAR_MAX_NUM_CHARS="10000000", NEXTCHAR_MAX_ANSWER_MB="4096"
    ) as server:
        yield server


@pytest.fixture(scope="module")
def nginx(service: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nginx]:
    folder = tmp_path_factory.mktemp("nginx")
    with Nginx(folder, f"127.0.0.1:{service.port}", **SHORT, **UNLIMITED) as running:
        yield running


def default(name: str) -> Any:
    return Settings.model_fields[name].default


def limits() -> dict[str, str]:
    files = ("nginx", "proxy")
    text = "".join((ROOT / "deploy" / "nginx" / f"{name}.conf").read_text("utf-8") for name in files)
    return dict(re.findall(r"^\s*(\w+) ([^;{]+);", text, re.MULTILINE))


def test_limits_agree_with_the_services_own() -> None:
    assert int(limits()["client_max_body_size"]) == default("max_body_bytes")
    assert limits()["large_client_header_buffers"] == f"4 {MAX_HEAD_BYTES // 1024}k"
    assert int(limits()["proxy_read_timeout"].removesuffix("s")) > default("request_timeout_s")
    assert limits()["proxy_buffering"] == "off"  # nothing is kept for a reader that is slower than the writer
    assert limits()["client_header_timeout"] == "10s"
    assert limits()["client_body_timeout"] == "10s"


def test_an_answer_passes_unchanged(nginx: Nginx, service: Server) -> None:
    question = {"prefix": "分开", "num_chars": 50}
    through = httpx.post(f"{nginx.url}/generate", json=question)
    direct = httpx.post(f"{service.url}/generate", json=question)
    assert through.status_code == direct.status_code == 200
    assert through.json()["text"] == direct.json()["text"]
    assert through.headers.keys() >= {"x-request-id"}


def test_the_page_is_at_home_behind_nginx_on_any_port(nginx: Nginx) -> None:
    question = {"prefix": "分开", "num_chars": 5}
    own = httpx.post(f"{nginx.url}/generate", json=question, headers={"Origin": nginx.url})
    assert own.status_code == 200, own.text
    another = httpx.post(f"{nginx.url}/generate", json=question, headers={"Origin": "http://127.0.0.1:1"})
    assert another.status_code == 403


def status_of_get(nginx: Nginx, prefix: str) -> int:
    """httpx refuses to send URLs of this length."""
    connection = http.client.HTTPConnection("127.0.0.1", nginx.port, timeout=30)
    connection.request("GET", f"/generate?num_chars=1&prefix={quote(prefix)}")
    answer = connection.getresponse()
    body = json.loads(answer.read())
    connection.close()
    assert answer.status == 200 or body["status"] == answer.status, body
    return answer.status


def test_a_url_of_the_length_that_the_service_reads_passes(nginx: Nginx) -> None:
    assert status_of_get(nginx, "分" * 3400) == 200


def test_a_url_beyond_that_is_refused_in_the_services_shape(nginx: Nginx) -> None:
    assert status_of_get(nginx, "分" * 4000) == 414


def running_rows(service: Server) -> float:
    metrics = httpx.get(f"{service.url}/metrics").text
    found = re.search(r'^nextchar_num_requests_running\{model="tiny"\} (\S+)', metrics, re.MULTILINE)
    return float(found[1]) if found else 0.0


def wait_for_rows(service: Server, rows: int) -> None:
    deadline = time.monotonic() + 30
    while running_rows(service) != rows:
        assert time.monotonic() < deadline, f"not {rows} rows but {running_rows(service)}"
        time.sleep(0.05)


def test_a_stream_begins_while_it_is_written_and_a_reader_who_leaves_frees_its_row(
    nginx: Nginx, service: Server
) -> None:
    question = {"prefix": "分开", "num_chars": 10_000_000, "stream": True}
    with httpx.stream("POST", f"{nginx.url}/generate", json=question) as answer:
        assert answer.status_code == 200
        lines = answer.iter_lines()  # kept: a response is closed when nothing iterates over it any more
        assert next(lines)
        wait_for_rows(service, 1)  # ten million characters are not written yet
    wait_for_rows(service, 0)


def upstream_of_nginx() -> socket.socket:
    upstream = socket.create_server(("127.0.0.1", 0))
    upstream.settimeout(30)
    return upstream


def address_of(upstream: socket.socket) -> str:
    return f"127.0.0.1:{upstream.getsockname()[1]}"


def test_each_chunk_passes_before_the_next_is_written(tmp_path: Path) -> None:
    arrived = threading.Event()

    def write_two_chunks() -> None:
        connection, _ = upstream.accept()
        with connection:
            connection.recv(65536)
            head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
            connection.sendall(head + b"9\r\ndata: 1\n\n\r\n")
            assert arrived.wait(30), "the first chunk did not pass"
            connection.sendall(b"9\r\ndata: 2\n\n\r\n0\r\n\r\n")

    with upstream_of_nginx() as upstream, Nginx(tmp_path, address_of(upstream)) as nginx:
        threading.Thread(target=write_two_chunks, daemon=True).start()
        with httpx.stream("GET", f"{nginx.url}/generate", timeout=20) as answer:
            lines = (line for line in answer.iter_lines() if line)
            assert next(lines) == "data: 1"
            arrived.set()
            assert next(lines) == "data: 2"


def read_until_closed(connection: socket.socket) -> bytes:
    answer = b""
    try:
        while part := connection.recv(65536):
            answer += part
    except ConnectionResetError:
        pass
    return answer


@pytest.mark.parametrize("body", [False, True])
def test_a_client_that_is_slow_to_ask_is_cut_off(nginx: Nginx, body: bool) -> None:
    head = b"POST /generate HTTP/1.1\r\nHost: x\r\n"
    with socket.create_connection(("127.0.0.1", nginx.port), timeout=30) as connection:
        connection.sendall(head + (b"Content-Length: 100\r\n\r\n{" if body else b"X-Slow: "))
        assert b" 200 " not in read_until_closed(connection)


def test_a_header_that_trickles_in_does_not_hold_the_connection_longer(nginx: Nginx) -> None:
    with socket.create_connection(("127.0.0.1", nginx.port), timeout=30) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\n")
        deadline = time.monotonic() + 30

        def trickle() -> None:
            while time.monotonic() < deadline:
                connection.sendall(b"X")
                time.sleep(0.05)

        with pytest.raises(OSError, match=r"Broken pipe|reset"):
            trickle()


@pytest.mark.parametrize("chunked", [False, True])
def test_a_body_over_the_limit_is_413_in_the_services_shape(nginx: Nginx, chunked: bool) -> None:
    body = b"x" * (default("max_body_bytes") + 1)
    answer = httpx.post(f"{nginx.url}/generate", content=iter([body]) if chunked else body)
    assert answer.status_code == 413
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["title"] == "The body is too large"
    assert httpx.get(f"{nginx.url}{answer.json()['type']}").status_code == 200


def test_more_requests_than_the_rate_allows_are_429_with_a_time_to_wait(service: Server, tmp_path: Path) -> None:
    with (
        Nginx(tmp_path, f"127.0.0.1:{service.port}", **{"burst=40": "burst=2"}) as nginx,
        httpx.Client(base_url=nginx.url) as client,
    ):
        answers = [client.get("/healthz") for _ in range(40)]
    assert {answer.status_code for answer in answers} == {200, 429}
    refused = next(answer for answer in answers if answer.status_code == 429)
    assert refused.headers["retry-after"] == "1"
    assert refused.json()["status"] == 429


def test_metrics_are_not_for_everybody(nginx: Nginx) -> None:
    for path in ("/metrics", "/metrics/", "/metrics%2F", "/%6detrics/", "//metrics/", "/./metrics/"):
        assert httpx.get(f"{nginx.url}{path}").status_code == 404, path


def test_a_client_cannot_claim_another_address_or_a_prefix(tmp_path: Path) -> None:
    seen: list[bytes] = []

    def answer_once() -> None:
        connection, _ = upstream.accept()
        with connection:
            seen.append(connection.recv(65536))
            connection.sendall(b"HTTP/1.1 204 No Content\r\n\r\n")

    with upstream_of_nginx() as upstream, Nginx(tmp_path, address_of(upstream)) as nginx:
        threading.Thread(target=answer_once, daemon=True).start()
        claims = {"X-Forwarded-For": "10.9.8.7", "X-Forwarded-Prefix": "/x"}
        assert httpx.get(f"{nginx.url}/", headers=claims, timeout=30).status_code == 204
    assert b"X-Forwarded-For: 127.0.0.1\r\n" in seen[0]
    assert b"10.9.8.7" not in seen[0]
    assert b"prefix" not in seen[0].lower()


def test_what_a_person_wrote_is_not_logged(nginx: Nginx) -> None:
    httpx.get(f"{nginx.url}/generate", params={"prefix": "secretwords", "num_chars": 1})
    assert '"GET /generate"' in nginx.log("access")
    assert "secretwords" not in nginx.log("access")


def test_a_service_that_is_away_is_503_with_a_time_to_wait(tmp_path: Path) -> None:
    with Nginx(tmp_path, "127.0.0.1:1") as nginx:
        answer = httpx.get(f"{nginx.url}/readyz")
    assert answer.status_code == 503
    assert answer.headers["retry-after"] == "5"
    assert answer.json()["title"] == "The service cannot answer now"


def test_with_tls_a_plain_request_is_sent_to_the_encrypted_side_which_answers(service: Server, tmp_path: Path) -> None:
    certificates = tmp_path / "certificates"
    certificates.mkdir()
    key, certificate = certificates / "privkey.pem", certificates / "fullchain.pem"
    subprocess.run(
        [
            *(require("openssl"), "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"),
            *("-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost", "-keyout", key, "-out", certificate),
        ],
        check=True,
        capture_output=True,
    )
    with Nginx(tmp_path, f"127.0.0.1:{service.port}", edge="https") as nginx:
        redirected = httpx.get(f"{nginx.url}/models?x=1", headers={"Host": "localhost"})
        assert redirected.status_code == 308
        assert redirected.headers["location"] == "https://localhost/models?x=1"
        trust = ssl.create_default_context(cafile=str(certificate))
        answer = httpx.get(f"https://localhost:{nginx.tls_port}/readyz", verify=trust)
        assert answer.status_code == 200
        assert "max-age" in answer.headers["strict-transport-security"]
        assert httpx.get(f"{nginx.url}/healthz").status_code == 200  # what the container's own check asks


@pytest.fixture(scope="module")
def below(models_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with Server(tmp_path_factory.mktemp("below"), models_dir, NEXTCHAR_ROOT_PATH="/texts") as server:
        yield server


LEFT_ON = {"location / {": "location /texts {"}
TAKEN_OFF = {"location / {": "location /texts/ {", "proxy_pass http://nextchar;": "proxy_pass http://nextchar/;"}
NAMED = {**TAKEN_OFF, 'X-Forwarded-Prefix ""': "X-Forwarded-Prefix /texts"}


@pytest.mark.parametrize(("changes", "has_setting"), [(LEFT_ON, True), (TAKEN_OFF, True), (NAMED, False)])
def test_below_a_prefix_of_nginx_everything_is_found(
    service: Server, below: Server, tmp_path: Path, changes: dict[str, str], has_setting: bool
) -> None:
    """Whether nginx takes the prefix off or leaves it on, and where the service knows it from nginx alone."""
    upstream = below if has_setting else service
    with Nginx(tmp_path, f"127.0.0.1:{upstream.port}", **changes, **UNLIMITED) as nginx:
        base = f"{nginx.url}/texts"
        with httpx.Client(headers={"Origin": nginx.url}) as client:
            document = client.get(f"{base}/openapi.json").json()
            assert document["servers"] == [{"url": "/texts"}]
            for path in ("/", "/docs", "/problems/not-found"):
                page = client.get(f"{base}{path}")
                for link in re.findall(r'(?:href|src)="([^":]+)"', page.text):
                    assert client.get(str(page.url.join(link))).status_code == 200, link
            assert client.get(f"{base}/no").json()["type"] == "/texts/problems/not-found"
            question = {"prefix": "分开", "num_chars": 5}
            for path in ("/generate", "/generate/"):
                assert client.post(f"{base}{path}", json=question).status_code == 200
            assert client.get(f"{base}/v1/models/").json()["object"] == "list"
            assert client.get(f"{nginx.url}/models").status_code == 404
