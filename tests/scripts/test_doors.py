"""The offline scripts are doors onto the commands of `nextchar`: the same command, and no logic of their own."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

from nextchar.__main__ import COMMANDS

ROOT = Path(__file__).parents[2]
OWN = {"chapter", "mutants"}  # what a checkout can do and an installed nextchar cannot
DOORS = sorted({path.stem for path in (ROOT / "scripts").glob("[!_]*.py")} - OWN)


def test_every_command_that_was_a_script_still_is_one() -> None:
    wanted = {"train", "generate", "score", "evaluate", "export", "runs", "models", "benchmark"}
    assert wanted == set(DOORS) == COMMANDS.keys() - {"serve"}


@pytest.mark.parametrize("name", DOORS)
def test_a_door_opens_the_command_of_its_name_and_does_nothing_else(name: str) -> None:
    code = ast.parse((ROOT / "scripts" / f"{name}.py").read_text("utf-8"))
    assert f"The same as `nextchar {name}`: `python scripts/{name}.py " in (ast.get_docstring(code) or "")
    assert [ast.unparse(line) for line in code.body[1:]] == [
        f"from nextchar.{name} import program",
        "if __name__ == '__main__':\n    program()",
    ]


def test_both_ways_to_call_a_script_show_it_by_the_name_that_was_called(tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    for way, shown in ((["scripts/models.py"], "models.py"), (["-m", "scripts.models"], "python -m scripts.models")):
        command = [sys.executable, *way, "list"]
        done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 2
        assert done.stderr.startswith(f"Usage: {shown} list [OPTIONS] ")
