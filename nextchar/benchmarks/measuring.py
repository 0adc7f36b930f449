"""How the benchmarks measure: contenders take turns, so that what slows the machine for a while slows all of them.

Thread pools wait for their next product in a loop for a while; each contender starts only when those of the one before
have gone to sleep.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import json
import os
import platform
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from model.errors import DeviceError
from model.processor import available_cores

SETTLE_S = 0.1
TURN_S = 0.1
PACKAGES = ("numpy", "numba", "onnxruntime", "mxnet", "torch", "litserve", "fastapi", "uvicorn")


def mxnet_peers() -> Any:
    """The module `mxnet_peers`, or None where MXNet does not exist."""
    try:
        return importlib.import_module("nextchar.benchmarks.mxnet_peers")
    except DeviceError:
        return None


def interleaved(
    contenders: Mapping[str, Callable[[], Any]], rounds: int, turn_s: float | None = None
) -> dict[str, list[float]]:
    """Seconds of each contender in each round: the median of as many runs as a turn has room for, the first apart."""
    turn_s = TURN_S if turn_s is None else turn_s
    times: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(rounds):
        for name, run in contenders.items():
            time.sleep(SETTLE_S)
            run()
            took: list[float] = []
            while sum(took) < turn_s:
                begun = time.perf_counter()
                run()
                took.append(time.perf_counter() - begun)
            times[name].append(statistics.median(took))
    return times


def ratio(times: Mapping[str, Sequence[float]], name: str, other: str) -> float:
    """How many times faster `name` is than `other`: the median over rounds."""
    return statistics.median(b / a for a, b in zip(times[name], times[other], strict=True))


def machine() -> dict[str, Any]:
    """What the figures depend on."""
    cpu = platform.processor() or platform.machine()
    flags: set[str] = set()
    if (info := Path("/proc/cpuinfo")).exists():
        fields = [line.split(":", 1) for line in info.read_text().splitlines() if ":" in line]
        known = {key.strip(): value.strip() for key, value in fields}
        cpu = f"{known.get('model name', cpu)} (family {known.get('cpu family')}, model {known.get('model')})"
        flags = set(known.get("flags", "").split())
    return {
        "cpu": cpu,
        "cores": available_cores(),
        "avx512": "avx512f" in flags,
        "load": os.getloadavg()[0],
        "python": platform.python_version(),
        "versions": {name: version for name in PACKAGES if (version := _version(name))},
    }


def table(head: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """A Markdown table."""
    lines = [list(map(str, head)), ["---"] * len(head), *(list(map(str, row)) for row in rows)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def json_line(**figures: Any) -> str:
    return json.dumps({"machine": machine(), **figures}, ensure_ascii=False)


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None
