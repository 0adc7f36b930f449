"""A real server whose decode thread hangs: the process ends, so that a supervisor starts it again."""

from __future__ import annotations

import json
import sys
import threading
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.app.conftest import STOP_S, Server, eventually


def hanging(tmp_path: Path, models_dir: Path, **environment: Any) -> Server:
    """Its engine hangs from when `tmp_path / "hang"` is there."""
    command = [sys.executable, "-m", "tests.app.hanging", str(tmp_path / "hang")]
    return Server(tmp_path, models_dir, command=command, NEXTCHAR_STALL_S="0.1", **environment)


def ask(server: Server) -> threading.Thread:
    """One who waits for an answer that does not come."""

    def wait() -> None:
        with pytest.raises(httpx.HTTPError):
            httpx.post(f"{server.url}/generate", params={"prefix": "a"}, timeout=STOP_S).raise_for_status()

    thread = threading.Thread(target=wait)
    thread.start()
    return thread


def test_a_decode_thread_that_hangs_ends_the_process_and_one_line_says_where_it_hung(
    tmp_path: Path, models_dir: Path
) -> None:
    with hanging(tmp_path, models_dir, NEXTCHAR_HANG_S="0.5") as server:
        answer = httpx.post(f"{server.url}/generate", params={"prefix": "a"}, timeout=STOP_S)
        assert answer.status_code == 200
        (tmp_path / "hang").touch()
        waiting = ask(server)
        assert server.process.wait(STOP_S) == 4
        waiting.join()
        [line] = [line for line in server.log().splitlines() if '"critical"' in line]
    said = json.loads(line)
    assert (said["model"], said["seconds"]) == ("tiny", 0.5)
    assert "the decode thread hangs; the process ends" in said["event"]
    assert "hangs_in_the_driver" in said["stack"]


@pytest.mark.slow
def test_it_ends_in_time_after_sigterm_though_the_thread_hangs_and_that_ends_nothing_by_itself(
    tmp_path: Path, models_dir: Path
) -> None:
    with hanging(tmp_path, models_dir, NEXTCHAR_HANG_S="0", NEXTCHAR_DRAIN_S="0.5") as server:
        (tmp_path / "hang").touch()
        waiting = ask(server)
        eventually(lambda: httpx.get(f"{server.url}/readyz", timeout=STOP_S).status_code == 503)
        assert server.stop() == 0
        waiting.join()
        assert '"critical"' not in server.log()
