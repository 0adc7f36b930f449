"""How many connections are allowed under which limit of open files, and standard streams that are closed."""

from __future__ import annotations

import resource
import subprocess
import sys
from pathlib import Path

import pytest

from app.server.descriptors import connections_that_fit

INFINITE = resource.RLIM_INFINITY


@pytest.mark.parametrize(
    ("soft", "hard", "wanted", "fit", "raised_to"),
    [
        (4096, 4096, 1000, 1000, None),
        (1024, 4096, 1000, 1000, 1064),
        (1024, INFINITE, 1000, 1000, 1064),
        (1024, 1024, 1000, 960, 1024),
        (100, 100, 1000, 50, 100),
        (1064, 4096, 1000, 1000, None),
        (1063, 4096, 1000, 1000, 1064),
        (3, 3, 1000, 1, 3),
        (128, 128, 1000, 64, 128),
        (130, 130, 1000, 66, 130),
        (INFINITE, INFINITE, 1000, 1000, None),
    ],
)
def test_the_limit_is_raised_as_far_as_needed_and_connections_stay_below_it(
    monkeypatch: pytest.MonkeyPatch, soft: int, hard: int, wanted: int, fit: int, raised_to: int | None
) -> None:
    set_to: list[tuple[int, int]] = []
    of_files = {resource.RLIMIT_NOFILE: (soft, hard)}
    monkeypatch.setattr(resource, "getrlimit", of_files.__getitem__)

    def setrlimit(which: int, limits: tuple[int, int]) -> None:
        assert which == resource.RLIMIT_NOFILE
        set_to.append(limits)

    monkeypatch.setattr(resource, "setrlimit", setrlimit)
    assert connections_that_fit(wanted) == fit
    assert set_to == ([] if raised_to is None else [(raised_to, hard)])


def test_no_file_takes_the_number_of_a_standard_stream_that_is_closed(tmp_path: Path) -> None:
    program = """
import os, sys
from app.server.descriptors import open_standard_streams
open_standard_streams()
print("nowhere"); print("nowhere", file=sys.stderr); sys.stdin.read()
file = os.open(sys.argv[1], os.O_WRONLY | os.O_CREAT)
os.write(file, str(file > 2).encode())
"""
    said = tmp_path / "said"
    command = ["sh", "-c", 'exec "$@" <&- >&- 2>&-', "sh", sys.executable, "-c", program, str(said)]
    assert subprocess.run(command, cwd=Path(__file__).parents[3]).returncode == 0
    assert said.read_text() == "True"
