"""A program that listens on this machine while a test asks it."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import time
import weakref
from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

from tests.deploy.nginx import free_port

__all__ = ["Running", "free_port"]

Itself = TypeVar("Itself", bound="Running")
START_S, STOP_S = 120.0, 30.0  # the longest; a machine may have other work


class Running:
    """`command`, which listens on `port` of 127.0.0.1 and ends with its `with`, or with the tests at the latest.

    One that does not come up is ended at once, and its log shown.
    """

    def __init__(self, command: Sequence[str], port: int, log: Path) -> None:
        self.port = port
        self.url = f"http://127.0.0.1:{port}"
        self._log = log
        with log.open("wb") as file:
            self._process = subprocess.Popen(command, cwd=log.parent, stdout=file, stderr=file)
        self._end = weakref.finalize(self, _end, self._process)
        try:
            self._wait()
        except BaseException:
            self._end()
            raise

    def __enter__(self: Itself) -> Itself:
        return self

    def __exit__(self, *_: object) -> None:
        self._end()

    def log(self) -> str:
        return self._log.read_text("utf-8", errors="replace")

    def _wait(self) -> None:
        deadline = time.monotonic() + START_S
        while time.monotonic() < deadline:
            assert self._process.poll() is None, self.log()
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), timeout=1):
                return
            time.sleep(0.05)
        raise AssertionError(f"does not listen after {START_S} s:\n{self.log()}")


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()  # a kill would leave its children behind
    try:
        process.wait(STOP_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
