"""A real server where people have it: homes that cannot be written, folders of any name, locales that are not UTF-8."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest

from model import checkpoint as checkpoints
from tests.app.conftest import ROOT, START_S, Server, eventually
from tests.models import random_checkpoint
from tests.surroundings import stranger

ODD_NAME = "mein Träger 分开"
MISNAMED = "Großer Name"
# What a shell of a user in Germany or China has, of whatever language the one who runs the tests is.
UNSET = dict.fromkeys(
    ("LC_ALL", "LC_CTYPE", "PYTHONUTF8", "PYTHONIOENCODING", "XDG_CACHE_HOME", "MPLCONFIGDIR", "CI", "NO_COLOR")
)
ASCII_ALONE: dict[str, str | None] = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
CLOSED = ("sh", "-c", 'exec "$@" <&- >&-', "sh")  # what stays open is standard error, for the log
PRIVATE = ("sh", "-c", 'umask 077; exec "$@"', "sh")


def make_models(folder: Path) -> Path:
    checkpoints.save(folder / "tiny", random_checkpoint("lstm", 2, 24, scale=4.0))
    checkpoints.save(folder / MISNAMED, random_checkpoint("rnn", 1, 16, scale=4.0))
    return folder


def server_of(name: str, base: Path) -> Server | None:
    """None where there can be none here."""
    odd = base / ODD_NAME
    common: dict[str, str | None] = {**UNSET, "PYTHONPATH": str(ROOT), "NEXTCHAR_RELOAD_S": "0.1"}
    if name == "somebody else in plain C":
        begin = stranger(base)
        common |= {"LC_ALL": "C", "HOME": str(odd / "home"), "TMPDIR": str(odd / "home")}
        return None if begin is None else Server(base, odd / "models", odd, (*PRIVATE, *begin), (), **common)
    common |= {**ASCII_ALONE, "HOME": str(base / "free"), "NEXTCHAR_LOG_FORMAT": "console"}
    return Server(base, odd / "models", odd, CLOSED, (), **common)


NAMES = ("ASCII alone, closed streams", "somebody else in plain C")


@pytest.fixture(scope="module")
def base() -> Iterator[Path]:
    """A folder that anybody may enter, unlike pytest's own."""
    with tempfile.TemporaryDirectory() as folder:
        odd = Path(folder) / ODD_NAME
        make_models(odd / "models")
        (odd / "home").mkdir()
        (Path(folder) / "free").mkdir()
        for path in (Path(folder), *Path(folder).rglob("*")):
            path.chmod(0o755 if path.is_dir() else 0o644)
        (odd / "home").chmod(0o555)
        if os.geteuid() != 0:
            (odd / "models").chmod(0o555)
        yield Path(folder)
        (odd / "models").chmod(0o755)


@pytest.fixture(scope="module")
def servers(base: Path) -> Iterator[dict[str, Server | None]]:
    with ThreadPoolExecutor() as pool, ExitStack() as opened:
        starting = {name: pool.submit(server_of, name, base) for name in NAMES}
        started = {name: future.result() for name, future in starting.items()}
        for server in started.values():
            if server is not None:
                opened.enter_context(server)
        yield started


@pytest.fixture(params=[pytest.param(NAMES[0], marks=pytest.mark.slow), NAMES[1]])
def server(servers: dict[str, Server | None], request: pytest.FixtureRequest) -> Server:
    server = servers[request.param]
    if server is None:
        pytest.skip("root cannot become somebody else here")
    return server


def test_it_answers_at_its_first_request(server: Server) -> None:
    eventually(lambda: httpx.get(f"{server.url}/readyz").json()["status"] == "ready", START_S)
    answer = httpx.post(f"{server.url}/generate", json={"prefix": "分", "num_chars": 5, "temperature": 1, "seed": 1})
    assert (answer.status_code, answer.json()["text"][0]) == (200, "分")


def test_its_log_is_what_it_is_elsewhere(server: Server) -> None:
    httpx.post(f"{server.url}/generate", json={"prefix": "分", "num_chars": 5})
    eventually(lambda: "/generate" in server.log())
    log = server.log()
    assert "Traceback" not in log
    assert "\x1b" not in log  # colours are for terminals
    lines = log.splitlines()
    if lines[0].startswith("{"):
        named = [line["model"] for line in map(json.loads, lines) if line["event"] == "model does not serve"]
        assert named == [f"'{MISNAMED}'"]
    else:
        assert all(line[:4].isdigit() for line in lines)  # each begins with its time


def test_nothing_is_written_at_home(server: Server, base: Path) -> None:
    httpx.post(f"{server.url}/generate", json={"prefix": "分", "num_chars": 5})
    assert list((base / "free").iterdir()) == []
    assert list((base / ODD_NAME / "home").iterdir()) == []


@pytest.mark.slow
def test_a_new_model_is_seen_and_all_of_them_end_with_0(base: Path, servers: dict[str, Server | None]) -> None:
    running = [server for server in servers.values() if server is not None]
    digest = checkpoints.save(base / ODD_NAME / "models" / "tiny", random_checkpoint("gru", 1, 8, scale=4.0))
    for server in running:
        eventually(lambda s=server: digest in httpx.get(f"{s.url}/models").text)  # type: ignore[misc]
    assert [server.stop() for server in running] == [0] * len(running)


@pytest.mark.slow
def test_without_home_and_folder_for_temporary_files_its_log_is_json_for_a_stream_that_takes_ascii(base: Path) -> None:
    odd = base / ODD_NAME
    own: dict[str, str | None] = {"HOME": None, "TMPDIR": "/nonexistent", "PYTHONIOENCODING": "ascii"}
    with Server(base, Path("models"), odd, (), (), **{**UNSET, "PYTHONPATH": str(ROOT), **own}) as running:
        eventually(lambda: httpx.get(f"{running.url}/readyz").json()["status"] == "ready", START_S)
        assert running.stop() == 0
    assert running.log().isascii()
    lines = [json.loads(line) for line in running.log().splitlines()]
    assert [line["model"] for line in lines if line["event"] == "model does not serve"] == [f"'{MISNAMED}'"]
