"""Runs the tests that pytest collected once for each mutant, in processes forked from the one that collected them."""

from __future__ import annotations

import contextlib
import gc
import importlib
import os
import select
import signal
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import pytest

from scripts.mutation.functions import Functions

KILLED, SURVIVED, TIMED_OUT = "killed", "survived", "timed out"
WITHOUT_S = 600.0  # the longest that the tests may take without a mutant
LEAST_S, TIMES = 10.0, 10.0  # a mutant may take this long, and this many times as long as the tests do without it


@dataclass(frozen=True)
class Mutant:
    source: str  # the whole module
    diff: str


@dataclass
class Child:
    """A process that runs the collected tests, with whatever processes they start."""

    pid: int
    mutant: Mutant | None
    began: float

    def end(self) -> int:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])


class Plugin:
    """Takes the place of pytest's one run of the tests it collected: `results` has what became of each mutant."""

    def __init__(self, root: Path, module: str, mutants: Iterable[Mutant], jobs: int) -> None:
        self._module, self._path = module.removesuffix(".py").replace("/", "."), root / module
        self._mutants, self._jobs = mutants, jobs
        self._in_child = False
        self.results: list[tuple[str, Mutant]] = []
        self.seconds_each = 0.0
        self.problem: str | None = None

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool | None:
        if session.testsfailed or not session.items:
            self.problem = "its tests cannot be collected"
            return True
        importlib.import_module(self._module)
        gc.unfreeze()  # else the functions are not found where something, as tests/conftest.py, has frozen them
        functions = Functions(self._path)
        gc.freeze()  # so that a child's collections need not copy what it shares
        for _ in range(2):  # the first time Numba compiles
            child = self._fork(None, functions)
            if child is None:
                return None
            [(_, result)] = _ended([child], WITHOUT_S)
            without_s = time.monotonic() - child.began
            if result != SURVIVED:
                self.problem = f"its tests as they are: {result} after {without_s:.0f} s"
                return True
        waiting, running, began = list(self._mutants), list[Child](), time.monotonic()
        waiting.reverse()
        while waiting or running:
            while waiting and len(running) < self._jobs:
                child = self._fork(waiting.pop(), functions)
                if child is None:
                    return None
                running.append(child)
            for child, result in _ended(running, max(LEAST_S, TIMES * without_s)):
                running.remove(child)
                assert child.mutant is not None
                self.results.append((result, child.mutant))
        self.seconds_each = (time.monotonic() - began) / max(len(self.results), 1)
        return True

    def _fork(self, mutant: Mutant | None, functions: Functions) -> Child | None:
        """None in the child, which then runs the tests."""
        began = time.monotonic()
        pid = os.fork()
        if pid:
            return Child(pid, mutant, began)
        self._in_child = True
        os.setsid()
        silence = os.open(os.devnull, os.O_RDWR)
        for stream in range(3):
            os.dup2(silence, stream)
        if mutant is not None:
            functions.change(mutant.source)
        return None

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self, exitstatus: int) -> None:
        if self._in_child:
            os._exit(int(exitstatus))


def _ended(running: list[Child], limit_s: float) -> list[tuple[Child, str]]:
    """Those that end first, or that have had their time; waits for them."""
    files = {os.pidfd_open(child.pid): child for child in running}
    try:
        rest = min(child.began for child in running) + limit_s - time.monotonic()
        ready, _, _ = select.select(list(files), [], [], max(rest, 0.0))
    finally:
        for file in files:
            os.close(file)
    ended = [(files[file], SURVIVED if files[file].end() == 0 else KILLED) for file in ready]
    late = [] if ready else [child for child in running if time.monotonic() >= child.began + limit_s]
    return ended + [(child, TIMED_OUT) for child in late if child.end()]
