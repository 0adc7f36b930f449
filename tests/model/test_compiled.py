from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import model.compiled

INNER = """
from model.compiled import compiled
@compiled
def inner(x):
    return x + {term}
"""
OUTER = """
from model.compiled import compiled
from model.inner import inner
@compiled
def outer(x):
    return 2 * inner(x)
"""


def run(folder: Path, **environment: str) -> str:
    command = [sys.executable, "-c", "from model.outer import outer; print(outer(1), outer.stats.cache_hits)"]
    done = subprocess.run(
        command,
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(folder), **environment},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.replace("Counter()", "none")


def test_a_result_is_kept_until_something_it_calls_changes_in_another_file(tmp_path: Path) -> None:
    package = tmp_path / "model"
    package.mkdir()
    (package / "__init__.py").touch()
    shutil.copy(model.compiled.__file__, package / "compiled.py")
    (package / "outer.py").write_text(OUTER)
    (package / "inner.py").write_text(INNER.format(term=1))
    assert run(tmp_path) == "4 none\n"
    assert "4 Counter({" in run(tmp_path)
    (package / "inner.py").write_text(INNER.format(term=10))
    assert run(tmp_path) == "22 none\n"
    elsewhere = tmp_path / "elsewhere"
    assert run(tmp_path, NUMBA_CACHE_DIR=str(elsewhere)) == "22 none\n"
    assert list(elsewhere.rglob("outer*"))
