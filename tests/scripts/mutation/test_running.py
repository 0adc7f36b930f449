"""What becomes of mutants, by a real run of pytest in a process of its own over a module of three lines."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parent.parent.parent.parent
SOURCE = """
import subprocess

def more(x):
    return x + 1
"""
TEST = """
import small

def test_more():
    assert small.more(1) > 0
    assert small.more(2) == 3
"""
PROGRAM = """
import json, sys
from pathlib import Path
import pytest
from scripts.mutation import running
running.LEAST_S = 2.0
folder, changes = Path(sys.argv[1]), json.loads(sys.argv[2])
sys.path.insert(0, str(folder))
source = (folder / "small.py").read_text()
mutants = [running.Mutant(source.replace("x + 1", change), change) for change in changes]
plugin = running.Plugin(folder, "small.py", mutants, 2)
pytest.main(["-x", "-q", "-p", "no:cacheprovider", "--rootdir", str(folder), str(folder)], plugins=[plugin])
print(json.dumps({"problem": plugin.problem, "results": {mutant.diff: result for result, mutant in plugin.results}}))
"""


def run(folder: Path, *changes: str, test: str = TEST) -> dict[str, object]:
    (folder / "small.py").write_text(SOURCE, "utf-8")
    (folder / "test_small.py").write_text(test, "utf-8")
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, folder, json.dumps(changes)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    result: dict[str, object] = json.loads(done.stdout.splitlines()[-1])
    return result


def is_running(command: list[str]) -> bool:
    line = "\0".join([*command, ""]).encode()
    for process in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):  # it has just ended
            if process.read_bytes() == line:
                return True
    return False


def test_a_mutant_is_killed_survives_or_has_had_its_time(tmp_path: Path) -> None:
    # A process that a mutant starts ends with it, even where the mutant itself does not wait for it.
    sleep = ["sleep", f"4242{os.getpid()}"]
    leaves = f"x + 1 + 0 * subprocess.Popen({sleep}).pid"
    never = "[x for x in iter(int, 1)]"
    assert run(tmp_path, "x - 1", "1 + x", never, leaves, "1 / 0") == {
        "problem": None,
        "results": {"x - 1": "killed", "1 + x": "survived", never: "timed out", leaves: "survived", "1 / 0": "killed"},
    }
    assert not is_running(sleep)


def test_a_module_that_garbage_collection_was_told_to_leave_out_is_changed_all_the_same(tmp_path: Path) -> None:
    """tests/conftest.py tells it so when the tests are collected."""
    (tmp_path / "conftest.py").write_text("import gc\n\ndef pytest_collection_finish():\n    gc.freeze()\n", "utf-8")
    assert run(tmp_path, "x - 1") == {"problem": None, "results": {"x - 1": "killed"}}


@pytest.mark.parametrize(
    ("test", "words"),
    [(TEST.replace("== 3", "== 4"), "its tests as they are: killed"), ("import nothing_there", "cannot be collected")],
)
def test_tests_that_fail_without_a_mutant_are_told(tmp_path: Path, test: str, words: str) -> None:
    result = run(tmp_path, "x - 1", test=test)
    assert words in str(result["problem"])
    assert result["results"] == {}
