"""Where a real process listens, as its settings or whoever started it say, and how it is asked there."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.app.conftest import ROOT, Server, eventually

GET = b"GET /models HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n"
# What Kubernetes sets for services called nextchar and nextchar-gpu, and Docker for a link.
LINKS: dict[str, Any] = {
    "NEXTCHAR_SERVICE_HOST": "10.0.0.1",
    "NEXTCHAR_SERVICE_PORT": "8000",
    "NEXTCHAR_SERVICE_PORT_HTTP": "8000",
    "NEXTCHAR_PORT_8000_TCP": "tcp://10.0.0.1:8000",
    "NEXTCHAR_PORT_8000_TCP_PROTO": "tcp",
    "NEXTCHAR_PORT_8000_TCP_PORT": "8000",
    "NEXTCHAR_PORT_8000_TCP_ADDR": "10.0.0.1",
    "NEXTCHAR_GPU_PORT": "tcp://10.0.0.2:8000",
    "NEXTCHAR_GPU_SERVICE_HOST": "10.0.0.2",
    "NEXTCHAR_NAME": "/web/nextchar",
    "NEXTCHAR_ENV_PATH": "/usr/bin",
}


def has_ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6) as tried:
            tried.bind(("::1", 0))
    except OSError:
        return False
    return True


# Without IPv6 one address is what can be tested.
HOSTS = ("127.0.0.1", "::1") if has_ipv6() else ("127.0.0.1",)
needs_ipv6 = pytest.mark.skipif(len(HOSTS) == 1, reason="this machine has no IPv6")


def bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _family(address: tuple[str, int] | str) -> socket.AddressFamily:
    if isinstance(address, str):
        return socket.AF_UNIX
    return socket.AF_INET6 if ":" in address[0] else socket.AF_INET


def ask(address: tuple[str, int] | str, host: bytes = b"localhost") -> bytes:
    with socket.socket(_family(address)) as asking:
        asking.settimeout(30)
        asking.connect(address)
        asking.sendall(GET % host)
        answer = b""
        while part := asking.recv(65536):
            answer += part
        return answer


def status_of(answer: bytes) -> int:
    return int(answer.split(b" ", 2)[1])


def urls(server: Server) -> list[str]:
    return re.findall(r'"url": "([^"]+)"', server.log())


def health(**variables: str) -> subprocess.CompletedProcess[str]:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("NEXTCHAR_")}
    command = [sys.executable, "-m", "app.health"]
    return subprocess.run(command, cwd=ROOT, env=inherited | variables, capture_output=True, text=True, check=False)


def refused(models_dir: Path, **variables: str) -> tuple[int, str]:
    """Exit status and output of a start that comes to nothing."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("NEXTCHAR_")}
    ended = subprocess.run(
        [sys.executable, "-m", "app"],
        cwd=ROOT,
        env={**inherited, "NEXTCHAR_MODELS_DIR": str(models_dir), **variables},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    return ended.returncode, ended.stdout + ended.stderr


@pytest.fixture(scope="module")
def both(models_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """On both loopback addresses, in a place where a service called like the product runs, with models below `~`."""
    with Server(
        tmp_path_factory.mktemp("server"),
        models_dir,
        command=["env", "--default-signal=HUP"],  # the tests may run under nohup
        NEXTCHAR_HOST=",".join(map(bracketed, HOSTS)),
        NEXTCHAR_ALLOWED_HOSTS=None,
        NEXTCHAR_LOG_LEVEL="INFO",
        NEXTCHAR_LOG_FORMAT="Json",
        NEXTCHAR_DEVICE="CPU",
        NEXTCHAR_DRAIN_S="600",
        NEXTCHAR_REQUEST_TIMEOUT_S="600",
        NEXTCHAR_MODELS_DIR=f"~/{models_dir.name}",
        HOME=str(models_dir.parent),
        **LINKS,
    ) as server:
        eventually(lambda: len(urls(server)) == len(HOSTS))
        yield server


def test_several_addresses_are_served_on_one_port_and_each_is_told(both: Server) -> None:
    assert urls(both) == [f"http://{bracketed(host)}:{both.port}" for host in HOSTS]
    for address in urls(both):
        assert httpx.get(f"{address}/models").json()["models"][0]["name"] == "other"


def test_on_loopback_addresses_alone_only_local_names_are_taken(both: Server) -> None:
    for address in HOSTS:
        for name in (b"localhost", b"127.0.0.1:9", b"[::1]:9"):
            assert status_of(ask((address, both.port), name)) == 200
        assert status_of(ask((address, both.port), b"evil.example")) == 421


def test_variables_of_a_service_with_the_products_name_are_told_once_and_ignored(both: Server) -> None:
    (line,) = [line for line in both.log().splitlines() if "enableServiceLinks" in line]
    assert json.loads(line)["variables"] == sorted(LINKS)


def test_the_health_check_asks_the_first_address_and_the_port_that_are_set(both: Server) -> None:
    for host in (*HOSTS, f"{bracketed(HOSTS[-1])},127.0.0.1", "localhost"):
        checked = health(NEXTCHAR_HOST=host, NEXTCHAR_PORT=str(both.port))
        assert (checked.returncode, checked.stdout + checked.stderr) == (0, "")
    elsewhere = health(NEXTCHAR_HOST="127.0.0.2", NEXTCHAR_PORT=str(both.port))
    assert elsewhere.returncode == 1
    assert "refused" in elsewhere.stdout
    assert elsewhere.stderr == ""


def test_a_port_in_use_ends_the_start_before_a_model_is_loaded(both: Server, tmp_path: Path) -> None:
    status, output = refused(tmp_path / "nothing", NEXTCHAR_HOST=HOSTS[-1], NEXTCHAR_PORT=str(both.port))
    where = f"http://{bracketed(HOSTS[-1])}:{both.port}"
    assert (status, output) == (3, f"cannot listen on {where}: address already in use\n")


def test_sighup_drains_as_sigterm_does_and_never_ends_it_at_once(both: Server) -> None:
    """The last test of this server."""
    with socket.create_connection((HOSTS[-1], both.port)) as asking:
        asking.sendall(GET.replace(b"/models", b"/generate?prefix=a&num_chars=10000&n=16") % b"localhost")
        eventually(lambda: 'running{model="tiny"} 16.0' in httpx.get(f"{both.url}/metrics").text)
        for number in (signal.SIGHUP, signal.SIGHUP):
            both.process.send_signal(number)
            eventually(lambda: '"event": "stopping"' in both.log())
        answer = b""
        while part := asking.recv(65536):
            answer += part
    assert status_of(answer) == 200
    assert answer.endswith(b"}]}\r\n0\r\n\r\n")
    assert both.process.wait(60) == 0
    assert both.log().count("stopping") == 1


@pytest.fixture
def short() -> Iterator[Path]:
    """A folder whose path leaves room for a socket's: 107 bytes is the most that Linux takes."""
    with tempfile.TemporaryDirectory(prefix="nextchar-") as folder:
        yield Path(folder)


@pytest.mark.slow
def test_a_path_takes_the_place_of_address_and_port_and_is_left_as_it_was_found(
    models_dir: Path, tmp_path: Path, short: Path
) -> None:
    path = short / "nextchar.sock"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    # The port is that of a service link; an address does not matter.
    settings: dict[str, Any] = {"NEXTCHAR_UDS": "~/nextchar.sock", "NEXTCHAR_PORT": "tcp://10.0.0.1:8000"}
    settings |= {"NEXTCHAR_ALLOWED_HOSTS": None, "HOME": str(short)}
    with Server(tmp_path, models_dir, **settings) as server:
        assert urls(server) == [f"http://unix:{path}"]
        assert status_of(ask(str(path), b"any.example")) == 200
        assert stat.S_IMODE(path.stat().st_mode) == 0o660
        checked = health(NEXTCHAR_UDS="~/nextchar.sock", NEXTCHAR_PORT="1", HOME=str(short))
        assert (checked.returncode, checked.stdout + checked.stderr) == (0, "")

        status, output = refused(tmp_path, NEXTCHAR_UDS=str(path))
        assert (status, output) == (3, f"cannot listen on http://unix:{path}: address already in use\n")
        assert status_of(ask(str(path))) == 200

        assert server.stop() == 0
        assert not path.exists()
        assert health(NEXTCHAR_UDS=str(path)).returncode == 1


@pytest.mark.slow
def test_a_path_is_removed_by_a_second_signal_and_by_a_start_that_fails_too(
    models_dir: Path, tmp_path: Path, short: Path
) -> None:
    path = short / "nextchar.sock"
    status, output = refused(models_dir, NEXTCHAR_UDS=str(path), NEXTCHAR_API_KEYS_FILE="/none")
    assert (status, path.exists()) == (2, False), output
    settings: dict[str, Any] = {"NEXTCHAR_UDS": str(path), "NEXTCHAR_DRAIN_S": "600", "NEXTCHAR_WRITE_TIMEOUT_S": "600"}
    with Server(tmp_path, models_dir, **settings) as server, socket.socket(socket.AF_UNIX) as unread:
        unread.connect(str(path))
        unread.sendall(
            GET.replace(b"/models", b"/generate?prefix=a&num_chars=10000&n=4&logprobs=20&stream=true") % b"a"
        )
        assert unread.recv(1)
        server.process.send_signal(signal.SIGTERM)
        eventually(lambda: '"event": "stopping"' in server.log())
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(60) == 0
        assert "stopping at once" in server.log()
    assert not path.exists()


# Begins a program as systemd does that hands over the descriptors of the first argument: from 3 on, with its number.
HAND_OVER = """
import os, sys
from fcntl import F_DUPFD, fcntl
given = [fcntl(int(number), F_DUPFD, 100) for number in sys.argv[1].split(",")]
for number, descriptor in enumerate(given, 3):
    os.dup2(descriptor, number)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS=str(len(given)), LISTEN_FDNAMES="a:b:c")
os.execv(sys.argv[2], sys.argv[2:])
"""


@needs_ipv6
def test_sockets_that_are_handed_over_are_served_and_stay_whose_they_are(
    models_dir: Path, tmp_path: Path, short: Path
) -> None:
    path = short / "given.sock"
    with (
        socket.create_server(("127.0.0.1", 0)) as four,
        socket.create_server(("::", 0), family=socket.AF_INET6, dualstack_ipv6=True) as six,
        socket.socket(socket.AF_UNIX) as unix,
    ):
        unix.bind(str(path))
        unix.listen()
        ports = four.getsockname()[1], six.getsockname()[1]
        given = [four.fileno(), six.fileno(), unix.fileno()]
        command = [sys.executable, "-c", HAND_OVER, ",".join(map(str, given))]
        settings: dict[str, Any] = {"NEXTCHAR_PORT": "1", "NEXTCHAR_RATE_LIMIT": "1/hour"}
        with Server(tmp_path, models_dir, command=command, descriptors=given, **settings) as server:
            eventually(lambda: len(urls(server)) == 3)
            expected = [f"http://127.0.0.1:{ports[0]}", f"http://[::]:{ports[1]}", f"http://unix:{path}"]
            assert urls(server) == expected
            # One caller, whichever socket an IPv4 address came by; all of a Unix socket are one.
            assert status_of(ask(("127.0.0.1", ports[0]), b"a")) == 200
            assert status_of(ask(("127.0.0.1", ports[1]), b"a")) == 429
            assert status_of(ask(("::1", ports[1]), b"a")) == 200
            assert status_of(ask(str(path), b"a")) == 200
            assert status_of(ask(str(path), b"a")) == 429
            assert server.stop() == 0
        assert path.exists()
