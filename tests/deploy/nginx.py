"""The project's nginx configuration under a real nginx, with its addresses and folders moved to this machine."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from pathlib import Path

from tests.image.dockerfile import ROOT

BINARY = shutil.which("nginx") or ("/usr/sbin/nginx" if Path("/usr/sbin/nginx").exists() else None)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port: int = taken.getsockname()[1]
        return port


class Nginx:
    """nginx in front of `upstream` (host:port). `port` and `tls_port`; `changes` replaces text of nginx.conf."""

    def __init__(self, folder: Path, upstream: str, edge: str = "http", **changes: str) -> None:
        assert BINARY is not None
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
            [BINARY, "-e", f"{folder}/error.log", "-p", str(folder), "-c", f"{folder}/nginx.conf", "-g", "daemon off;"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        self.url = f"http://127.0.0.1:{self.port}"
        self._wait()

    def log(self, name: str = "error") -> str:
        return (self.folder / f"{name}.log").read_text("utf-8")

    def _wait(self) -> None:
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            assert self._process.poll() is None, self.log()
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
            except OSError:
                time.sleep(0.02)
            else:
                return
        raise AssertionError(self.log())

    def stop(self) -> None:
        self._process.terminate()
        self._process.wait(10)


def _outside(text: str, folder: str, old: str, new: str) -> str:
    """Replaces `old` everywhere but where it is part of `folder`."""
    return folder.join(part.replace(old, new) for part in text.split(folder))
