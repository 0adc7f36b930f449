"""The project's nginx configuration under a real nginx, with its addresses and folders moved to this machine."""

from __future__ import annotations

import os
import socket
import subprocess
import time
import weakref
from pathlib import Path

from tests.image.dockerfile import ROOT
from tests.programs import require

START_S, STOP_S = 60.0, 60.0  # the longest; a machine may have other work


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port: int = taken.getsockname()[1]
        return port


class Nginx:
    """nginx in front of `upstream` (host:port), which ends with its `with`, or with the tests at the latest.

    One that does not come up is ended at once, and its log shown. `port` and `tls_port`; `changes` replaces text of
    nginx.conf. A test that wants one is skipped where there is no nginx.
    """

    def __init__(self, folder: Path, upstream: str, edge: str = "http", **changes: str) -> None:
        binary = require("nginx")
        self.port, self.tls_port = free_port(), free_port()
        self.folder = folder
        (folder / "conf.d").mkdir(exist_ok=True)
        moved = {
            "nextchar:8000": upstream,
            "listen 8080": f"listen 127.0.0.1:{self.port}",
            "listen 8443": f"listen 127.0.0.1:{self.tls_port}",
            "/etc/nginx/": f"{folder}/",
            "/tmp/": f"{folder}/",
            "/dev/stdout": f"{folder}/access.log",
            "/dev/stderr": f"{folder}/error.log",
            "worker_processes auto;": "worker_processes 1;" + (" user root;" if os.geteuid() == 0 else ""),
        }
        for name, place in (("nginx", "."), ("proxy", "."), (edge, "conf.d")):
            text = (ROOT / "deploy" / "nginx" / f"{name}.conf").read_text("utf-8")
            for old, new in {**moved, **changes}.items():
                # The folder of this test may itself lie under one of the folders that are moved.
                text = new.join(text.split(old)) if old != "/tmp/" else _outside(text, str(folder), old, new)
            (folder / place / ("default.conf" if place == "conf.d" else f"{name}.conf")).write_text(text, "utf-8")
        self._process = subprocess.Popen(
            [binary, "-e", f"{folder}/error.log", "-p", str(folder), "-c", f"{folder}/nginx.conf", "-g", "daemon off;"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        self._end = weakref.finalize(self, _end, self._process)
        self.url = f"http://127.0.0.1:{self.port}"
        try:
            self._wait()
        except BaseException:
            self._end()
            raise

    def __enter__(self) -> Nginx:
        return self

    def __exit__(self, *_: object) -> None:
        self._end()

    def log(self, name: str = "error") -> str:
        file = self.folder / f"{name}.log"
        return file.read_text("utf-8") if file.exists() else ""

    def _wait(self) -> None:
        deadline = time.monotonic() + START_S
        while time.monotonic() < deadline:
            assert self._process.poll() is None, self.log()
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
            except OSError:
                time.sleep(0.02)
            else:
                return
        raise AssertionError(f"does not listen after {START_S} s:\n{self.log()}")


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()  # a kill would leave its worker behind
    try:
        process.wait(STOP_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _outside(text: str, folder: str, old: str, new: str) -> str:
    """Replaces `old` everywhere but where it is part of `folder`."""
    return folder.join(part.replace(old, new) for part in text.split(folder))
