"""nginx in front of several processes, as docs/cluster.md says: who is asked, and who next where one cannot answer."""

from __future__ import annotations

import contextlib
import threading
from collections import Counter
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.deploy.nginx import Nginx

REQUESTS = 12
NEXT = {"proxy_next_upstream off;": "proxy_next_upstream error http_503 non_idempotent;"}  # as in docs/cluster.md
UNLIMITED = {"rate=20r/s": "rate=10000r/s"}


class Instance(ThreadingHTTPServer):
    """Answers every POST with `status`; `asked` counts them."""

    def __init__(self, status: int) -> None:
        self.asked = 0

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                self.rfile.read(int(self.headers["Content-Length"]))
                server.asked += 1
                self.send_response(status)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                pass

        server = self
        super().__init__(("127.0.0.1", 0), Handler)

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.server_address[1]}"


@contextlib.contextmanager
def running(*servers: Instance) -> Iterator[None]:
    threads = [threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True) for server in servers]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        for server in servers:
            server.shutdown()
            server.server_close()


def statuses(folder: Path, upstream: str, **changes: str) -> Counter[int]:
    """Of REQUESTS questions, one after the other."""
    with Nginx(folder, upstream, **changes, **UNLIMITED) as nginx, httpx.Client(base_url=nginx.url) as client:
        return Counter(client.post("/generate", content=b"{}").status_code for _ in range(REQUESTS))


def test_two_are_asked_in_turn_and_one_that_is_down_is_not(tmp_path: Path) -> None:
    one, two = Instance(200), Instance(200)
    with running(one, two):
        assert statuses(tmp_path, f"{one.address}; server {two.address}") == {200: REQUESTS}
        assert one.asked == two.asked == REQUESTS / 2
        assert statuses(tmp_path, f"{one.address}; server {two.address} down") == {200: REQUESTS}
    assert two.asked == REQUESTS / 2


def test_as_shipped_what_a_stopping_one_refuses_stays_refused(tmp_path: Path) -> None:
    well, stopping = Instance(200), Instance(503)
    with running(well, stopping):
        told = statuses(tmp_path, f"{well.address}; server {stopping.address}")
    assert told == {200: REQUESTS / 2, 503: REQUESTS / 2}


def test_as_shipped_one_that_is_gone_costs_one_request_and_is_left_out_then(tmp_path: Path) -> None:
    well, gone = Instance(200), Instance(200)
    gone.server_close()
    with running(well):
        assert statuses(tmp_path, f"{well.address}; server {gone.address}") == {200: REQUESTS - 1, 503: 1}


@pytest.mark.parametrize("is_gone", [False, True])
def test_with_the_pages_line_the_next_one_is_asked(tmp_path: Path, is_gone: bool) -> None:
    well, other = Instance(200), Instance(503)
    if is_gone:
        other.server_close()
    with running(well, *([] if is_gone else [other])):
        assert statuses(tmp_path, f"{well.address}; server {other.address}", **NEXT) == {200: REQUESTS}
    assert well.asked == REQUESTS
