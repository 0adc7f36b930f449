"""Measures the service over HTTP: many clients, one client, and how long a bystander waits for /healthz meanwhile.

Clients are plain sockets that keep their connection and share one event loop in this process; they take part of the
machine, the same part whoever serves.

Longer than most modules: a server, a load and what is read off them, each used once.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import model
from model import checkpoint as checkpoints
from model.errors import NextcharError
from nextchar.benchmarks.measuring import SETTLE_S
from nextchar.benchmarks.models import CHAPTER, random_checkpoint

ROOT = Path(__file__).parents[2]  # where `-m` finds these packages, installed or not
CLIENTS = 64
NUM_CHARS = 200
PREFIX = chr(0x4E00) + chr(0x4E01)
START_S = 60
PROBE_S = 0.005
ONE_CLIENT_CHARS = 100


class BenchmarkError(NextcharError):
    """A server that cannot be measured."""


@dataclass
class Load:
    """What clients saw. seconds: of each request. probes: of each /healthz meanwhile."""

    elapsed_s: float = 0.0
    chars: int = 0
    errors: int = 0
    seconds: list[float] = field(default_factory=list)
    probes: list[float] = field(default_factory=list)

    @property
    def chars_per_s(self) -> float:
        return self.chars / self.elapsed_s


def measure(with_peers: bool, rounds: int, burst_s: float) -> dict[str, Any]:
    checkpoint = random_checkpoint(CHAPTER)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        checkpoints.save(folder / "bench", checkpoint)
        servers = {"nextchar": stack.enter_context(nextchar(folder))}
        if with_peers:
            servers["LitServe"] = stack.enter_context(litserve(folder / "bench"))
        loads: dict[str, list[Load]] = {name: [] for name in servers}
        for number in range(rounds + 1):
            for name, port in servers.items():
                time.sleep(SETTLE_S)
                load = asyncio.run(burst(port, CLIENTS, burst_s, name == "nextchar"))
                if not load.chars:
                    raise BenchmarkError(f"{name} answered none of {load.errors} requests")
                if number:
                    loads[name].append(load)
        found: dict[str, Any] = {name: _summary(own) for name, own in loads.items()}
        if with_peers:
            pairs = zip(loads["nextchar"], loads["LitServe"], strict=True)
            found["ratio"] = round(statistics.median(a.chars_per_s / b.chars_per_s for a, b in pairs), 2)
        found["one client"] = _one_client(servers["nextchar"], folder / "bench", rounds)
    return found


async def burst(port: int, clients: int, seconds: float, probe: bool) -> Load:
    """So many clients that each send the next request when the last was answered."""
    load, until = Load(), time.perf_counter() + seconds
    tasks = [_client(port, NUM_CHARS, until, load) for _ in range(clients)]
    begun = time.perf_counter()
    await asyncio.gather(*tasks, *([_bystander(port, until, load)] if probe else []))
    load.elapsed_s = time.perf_counter() - begun
    return load


async def _client(port: int, num_chars: int, until: float, load: Load) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    while time.perf_counter() < until:
        begun = time.perf_counter()
        status, body = await exchange(reader, writer, _question(num_chars))
        load.seconds.append(time.perf_counter() - begun)
        if status == 200 and len(json.loads(body)["generated"]) == num_chars:
            load.chars += num_chars
        else:
            load.errors += 1
    writer.close()


async def _bystander(port: int, until: float, load: Load) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    while time.perf_counter() < until:
        begun = time.perf_counter()
        await exchange(reader, writer, b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        load.probes.append(time.perf_counter() - begun)
        await asyncio.sleep(PROBE_S)
    writer.close()


def _question(num_chars: int) -> bytes:
    body = json.dumps({"prefix": PREFIX, "num_chars": num_chars}).encode()
    head = f"Host: localhost\r\nContent-Type: application/json\r\nContent-Length: {len(body)}"
    return f"POST /generate HTTP/1.1\r\n{head}\r\n\r\n".encode() + body


async def exchange(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, question: bytes) -> tuple[int, bytes]:
    """One request and its answer, over a connection that stays open."""
    writer.write(question)
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    length = int(head.split(b"content-length:")[1].split(b"\r\n")[0])
    return int(head.split(b" ", 2)[1]), await reader.readexactly(length)


@contextmanager
def nextchar(models_dir: Path) -> Iterator[int]:
    settings = {"MODELS_DIR": str(models_dir), "LOG_LEVEL": "error", "SECRET": "only for this benchmark"}
    port = _free_port()
    environment = {f"NEXTCHAR_{name}": value for name, value in {**settings, "PORT": str(port)}.items()}
    # By `env`: nothing installed but the settings reads the environment.
    command = ["env", *(f"{name}={value}" for name, value in environment.items()), sys.executable, "-m", "app"]
    with _process("nextchar", command, f"http://127.0.0.1:{port}/readyz"):
        yield port


@contextmanager
def litserve(checkpoint: Path) -> Iterator[int]:
    """The same model in PyTorch behind LitServe, which collects up to CLIENTS requests into a batch."""
    port = _free_port()
    command = [sys.executable, "-m", "nextchar.benchmarks.litserve_peer", str(checkpoint), str(port), str(CLIENTS)]
    with _process("LitServe", command, f"http://127.0.0.1:{port}/health"):
        yield port


@contextmanager
def _process(name: str, command: list[str], ready: str) -> Iterator[None]:
    process = subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )
    try:
        until = time.monotonic() + START_S
        while not _answers(ready):
            if process.poll() is not None or time.monotonic() > until:
                raise BenchmarkError(f"{name} did not come up within {START_S} s: {' '.join(command)}")
            time.sleep(0.1)
        yield
    finally:
        with suppress(ProcessLookupError):  # it has ended by itself
            os.killpg(process.pid, signal.SIGTERM)  # its workers too, which LitServe leaves behind
        process.wait(START_S)


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=1) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def _free_port() -> int:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return int(listening.getsockname()[1])


def _one_client(port: int, checkpoint: Path, rounds: int) -> dict[str, float]:
    """Milliseconds for ONE_CLIENT_CHARS over HTTP and through the library, in turns."""
    lm = model.load(checkpoint, device="cpu")
    http: list[float] = []
    library: list[float] = []

    async def ask(repeats: int) -> list[float]:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        took = []
        for _ in range(repeats):
            begun = time.perf_counter()
            await exchange(reader, writer, _question(ONE_CLIENT_CHARS))
            took.append(time.perf_counter() - begun)
        writer.close()
        return took

    for _ in range(rounds + 1):
        time.sleep(SETTLE_S)
        http += asyncio.run(ask(20))
        time.sleep(SETTLE_S)
        for _ in range(20):
            begun = time.perf_counter()
            lm.generate([PREFIX], ONE_CLIENT_CHARS)
            library.append(time.perf_counter() - begun)
    return {
        "http_ms": round(1000 * statistics.median(http[20:]), 2),
        "library_ms": round(1000 * statistics.median(library[20:]), 2),
    }


def _summary(loads: list[Load]) -> dict[str, Any]:
    seconds = sorted(took for load in loads for took in load.seconds)
    found = {
        "chars_per_s": round(statistics.median(load.chars_per_s for load in loads)),
        "requests_per_s": round(len(seconds) / sum(load.elapsed_s for load in loads)),
        "p50_ms": round(1000 * seconds[len(seconds) // 2], 1),
        "p99_ms": round(1000 * seconds[len(seconds) * 99 // 100], 1),
        "errors": sum(load.errors for load in loads),
    }
    probes = sorted(took for load in loads for took in load.probes)
    if probes:
        found["healthz_p99_ms"] = round(1000 * probes[len(probes) * 99 // 100], 1)
        found["healthz_max_ms"] = round(1000 * probes[-1], 1)
    return found
