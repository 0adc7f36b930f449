"""HAProxy in front of a service that asks for a key: its health checks, what passes through it; wget's question."""

from __future__ import annotations

import csv
import subprocess
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

CHECKS = {  # how people write the health check of a backend
    "plain": "option httpchk",  # OPTIONS / HTTP/1.0, without Host
    "get": "option httpchk\n    http-check send meth GET uri /readyz",
    "head": "option httpchk HEAD /readyz",
    "named": f"option httpchk\n    http-check send meth GET uri /readyz ver HTTP/1.1 hdr Host {HOST}",
    "balancer": "option httpchk\n    http-check send meth GET uri /healthz ver HTTP/1.1 hdr Host 10.0.0.7:8000",
}
CONTROL = "option httpchk\n    http-check send meth GET uri /models"  # no key: a check that cannot succeed
CONFIGURATION = """
global
    maxconn 100
defaults
    mode http
    timeout connect 10s
    timeout client 60s
    timeout server 60s
    timeout check 60s
frontend service
    bind 127.0.0.1:{port}
    default_backend unchecked
backend unchecked
    server it 127.0.0.1:{service}
listen statistics
    bind 127.0.0.1:{statistics}
    stats enable
    stats uri /
"""
BACKEND = """
backend {name}
    {check}
    server it 127.0.0.1:{service} check inter 3s fall 1 rise 1
"""


class HAProxy(Running):
    def __init__(self, folder: Path, service: int) -> None:
        binary = require("haproxy")
        port, self.statistics = free_port(), free_port()
        text = CONFIGURATION.format(port=port, statistics=self.statistics, service=service)
        for name, check in {**CHECKS, "control": CONTROL}.items():
            text += BACKEND.format(name=name, check=check, service=service)
        file = folder / "haproxy.cfg"
        file.write_text(text, "utf-8")
        super().__init__([binary, "-db", "-f", str(file)], port, folder / "haproxy.log")

    def checked(self, backend: str) -> dict[str, str]:
        """What the last health check of a backend's server came to."""
        text = httpx.get(f"http://127.0.0.1:{self.statistics}/;csv").text.removeprefix("# ")
        (found,) = [r for r in csv.DictReader(text.splitlines()) if (r["pxname"], r["svname"]) == (backend, "it")]
        found["check_status"] = found["check_status"].removeprefix("* ")  # the next check is under way
        return found

    def has_checked(self, backend: str) -> bool:
        return self.checked(backend)["check_status"] not in ("", "INI")


@pytest.fixture(scope="module")
def haproxy(keyed: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[HAProxy]:
    with HAProxy(tmp_path_factory.mktemp("haproxy"), keyed.port) as running:
        for backend in [*CHECKS, "control"]:
            eventually(partial(running.has_checked, backend))
        yield running


@pytest.mark.parametrize("backend", CHECKS)
def test_a_health_check_sees_that_the_service_is_up(haproxy: HAProxy, backend: str) -> None:
    seen = haproxy.checked(backend)
    assert (seen["status"], seen["check_status"]) == ("UP", "L7OK"), seen
    assert seen["check_code"] in ("200", "204")


def test_a_health_check_that_is_answered_401_sees_it_as_down(haproxy: HAProxy) -> None:
    """What the tests above read is what HAProxy found, not what it took for granted."""
    seen = haproxy.checked("control")
    assert (seen["status"], seen["check_status"], seen["check_code"]) == ("DOWN", "L7STS", "401")


def ask(haproxy: HAProxy, **headers: str) -> httpx.Response:
    question = {"prefix": "a", "num_chars": 40, "seed": 1}
    return httpx.post(f"{haproxy.url}/generate", json=question, headers={"Host": HOST, **headers}, timeout=60)


@pytest.mark.parametrize("headers", [WITH_KEY, {"Authorization": f"Bearer {KEY}"}], ids=list)
def test_a_request_with_a_key_is_answered_as_without_a_proxy(
    haproxy: HAProxy, keyed: Server, headers: dict[str, str]
) -> None:
    through = ask(haproxy, **headers)
    assert through.status_code == 200, through.text
    question = {"prefix": "a", "num_chars": 40, "seed": 1}
    assert through.json()["text"] == httpx.post(f"{keyed.url}/generate", json=question, headers=WITH_KEY).json()["text"]


def test_a_request_without_a_key_or_with_a_wrong_one_is_401(haproxy: HAProxy) -> None:
    assert ask(haproxy).status_code == 401
    assert ask(haproxy, **{"X-API-Key": "not the key"}).status_code == 401


@pytest.mark.parametrize("example", every_example(), ids=str)
def test_every_route_is_answered_through_it(haproxy: HAProxy, keyed: Server, example: Example) -> None:
    answers = []
    for url in (haproxy.url, keyed.url):
        headers = {"Host": HOST, "Content-Type": "application/json", **WITH_KEY}
        answers.append(httpx.request(example.method, url + example.target, content=example.body, headers=headers))
    through, direct = answers
    assert through.status_code == direct.status_code == 200, through.text
    assert through.headers["content-type"] == direct.headers["content-type"]


def test_a_stream_begins_while_it_is_written_and_ends_whole(haproxy: HAProxy) -> None:
    headers = {"Host": HOST, **WITH_KEY}
    endless = {"prefix": "a", "num_chars": 10_000_000, "stream": True}
    with httpx.stream("POST", f"{haproxy.url}/generate", json=endless, headers=headers, timeout=60) as answer:
        assert answer.status_code == 200
        assert next(answer.iter_lines())
    with httpx.stream("POST", f"{haproxy.url}/generate", json={**endless, "num_chars": 40}, headers=headers) as answer:
        assert [line for line in answer.iter_lines() if line][-1] == "id: done"


@pytest.mark.parametrize("path", ["/readyz", "/healthz"])
@pytest.mark.parametrize("place", ["direct", "through HAProxy"])
def test_wget_that_only_asks_whether_it_is_there_is_told_so(
    haproxy: HAProxy, keyed: Server, path: str, place: str
) -> None:
    url = keyed.url if place == "direct" else haproxy.url
    command = [require("wget"), "--spider", "--server-response", "--tries=1", "--no-config", "--no-proxy", url + path]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    # wget asks with GET where HEAD was refused.
    assert done.stderr.count("HTTP/1.1 200") == done.stderr.count("HTTP/1.") == 1, done.stderr
