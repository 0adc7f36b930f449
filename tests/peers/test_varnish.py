"""Varnish with nothing but a backend: it keeps no answer that was made for a key, and nothing about readiness."""

from __future__ import annotations

import http.server
import shutil
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import httpx
import pytest

from tests.app.conftest import Server, eventually
from tests.app.every_route import Example
from tests.peers.conftest import HOST, KEY, WITH_KEY, every_example
from tests.peers.running import Running, free_port
from tests.programs import require

pytestmark = pytest.mark.peers

OPEN = ("/healthz", "/readyz")
PAGES = ("/problems", "/problems/{name}")  # need no key either; nothing in them is made for one
# Varnish keeps an answer of 404 as well as one of 200.
MORE = [
    Example("GET", "/absent", "/absent", b""),
    Example("GET", "/models/absent", "/models/absent", b""),
    Example("GET", "/v1/models/absent", "/v1/models/absent", b""),
    Example("GET", "/generate", "/generate?prefix=a&num_chars=-1", b""),
    Example("GET", "/generate as a stream", "/generate?prefix=a&num_chars=3&stream=true", b""),
    Example("GET", "/web/absent", "/web/absent", b""),
]
KEPT = [example for example in [*every_example(), *MORE] if example.route not in (*OPEN, *PAGES)]


class Varnish(Running):
    def __init__(self, folder: Path, service: int) -> None:
        port = free_port()
        (folder / "work").mkdir()
        options = ["-F", "-j", "none", "-T", "none", "-s", "malloc,16m", "-n", str(folder / "work")]
        command = [require("varnishd"), *options, "-a", f"127.0.0.1:{port}", "-b", f"127.0.0.1:{service}"]
        super().__init__(command, port, folder / "varnish.log")

    def ask(self, example: Example, method: str | None = None, **headers: str) -> httpx.Response:
        head = {"Host": HOST, **({"Content-Type": "application/json"} if example.body else {}), **headers}
        url = self.url + example.target
        return httpx.request(method or example.method, url, content=example.body, headers=head, timeout=60)


def was_kept(answer: httpx.Response) -> bool:
    """Varnish names the request that brought what it kept, after the one that it answers."""
    return len(answer.headers["x-varnish"].split()) == 2


@pytest.fixture(scope="module")
def varnish(keyed: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Varnish]:
    with Varnish(tmp_path_factory.mktemp("varnish"), keyed.port) as running:
        yield running


@pytest.mark.parametrize("headers", [WITH_KEY, {"Authorization": f"Bearer {KEY}"}], ids=list)
@pytest.mark.parametrize("example", KEPT, ids=str)
def test_an_answer_made_for_a_key_reaches_nobody_without_one(
    varnish: Varnish, example: Example, headers: dict[str, str]
) -> None:
    for _ in range(2):
        answer = varnish.ask(example, **headers)
        assert answer.status_code in (200, 404, 400, 422), answer.text
        assert not was_kept(answer)
    for method in (example.method, "HEAD") if example.method == "GET" else (example.method,):
        without = varnish.ask(example, method)
        assert without.status_code == 401, (method, without.text)
        assert not was_kept(without)
    # Nor does what somebody without a key was told reach one who has it.
    assert varnish.ask(example, **headers).status_code == answer.status_code


@pytest.mark.parametrize("path", OPEN)
def test_what_probes_are_told_is_never_kept(varnish: Varnish, path: str) -> None:
    probe = Example("GET", path, path, b"")
    for method in ("GET", "HEAD", "GET", "HEAD"):
        answer = varnish.ask(probe, method)
        assert answer.status_code == 200, answer.text
        assert not was_kept(answer)


def test_readiness_is_told_as_it_is(models_dir: Path, tmp_path: Path) -> None:
    models, aside = tmp_path / "models", tmp_path / "aside"
    shutil.copytree(models_dir, models)
    with (
        Server(tmp_path, models, NEXTCHAR_RELOAD_S="0.1") as server,
        Varnish(tmp_path, server.port) as varnish,
    ):

        def told(url: str) -> int:
            return httpx.get(f"{url}/readyz", headers={"Host": "a"}).status_code

        def is_told_directly(status: int) -> bool:
            return told(server.url) == status

        for expected in (200, 503, 200):
            if expected == 503:
                (models / "tiny").rename(aside)
            elif aside.exists():
                aside.rename(models / "tiny")
            eventually(partial(is_told_directly, expected))
            assert told(varnish.url) == expected


def test_varnish_keeps_what_it_may(tmp_path: Path, models_dir: Path) -> None:
    """What the tests above read tells an answer that was kept from one that was not."""

    class Cacheable(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"ok")

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Cacheable) as backend:
        threading.Thread(target=backend.serve_forever, daemon=True).start()
        try:
            with Varnish(tmp_path, backend.server_port) as varnish:
                example = Example("GET", "/", "/", b"")
                assert [was_kept(varnish.ask(example, **WITH_KEY)) for _ in range(2)] == [False, True]
        finally:
            backend.shutdown()
