"""The README's commands run, its answers have the shape of real ones, its tables are those of the code."""

from __future__ import annotations

import itertools
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from app.settings import PREFIX, Settings
from tests.app.conftest import Server
from tests.programs import require

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text("utf-8")
BLOCKS = re.findall(r"```(\w+)\n(.*?)```", README, re.S)
CURLS = [(code, after) for (kind, code), (_, after) in itertools.pairwise(BLOCKS) if "curl" in code]
PYTHON = [code for kind, code in BLOCKS if kind == "python"]


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder like a clone in which a newcomer has trained two small models with the README's own command."""
    folder = tmp_path_factory.mktemp("clone")
    for name in ("scripts", "model", "app", ".venv"):
        (folder / name).symlink_to(Path(sys.prefix) if name == ".venv" else ROOT / name)
    (folder / "my.txt").write_text("The cat sat on the mat. The dog ate the cat's hat. " * 60, "utf-8")
    train = ".venv/bin/python scripts/train.py --out checkpoints/lyrics --hidden-dim 16 --time-budget 2"
    run(train, folder)
    return folder


def run(command: str, folder: Path) -> str:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    result = subprocess.run(
        ["bash", "-ec", command], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr + result.stdout
    return result.stdout


@pytest.fixture(scope="module")
def served(work: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with Server(tmp_path_factory.mktemp("server"), work / "checkpoints", NEXTCHAR_DEFAULT_MODEL="lyrics") as server:
        yield server


def shape(value: Any) -> Any:
    """The keys and types of JSON, without its values."""
    if isinstance(value, dict):
        return {key: shape(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [shape(value[0])] if value else []
    return "number" if isinstance(value, int | float) and not isinstance(value, bool) else type(value).__name__


@pytest.mark.parametrize(("command", "shown"), CURLS, ids=[code.split("\n")[0][:60] for code, _ in CURLS])
def test_a_request_is_answered_in_the_shape_that_is_shown(served: Server, work: Path, command: str, shown: str) -> None:
    require("curl")
    answer = run(command.replace("curl ", "curl -sS ").replace("http://127.0.0.1:8000", served.url), work)
    if "stream=true" in command:
        assert re.findall(r"^(event: .*)$", shown, re.M)[-1] == re.findall(r"^(event: .*)$", answer, re.M)[-1]
        assert shape(json.loads(shown.split("data: ")[-1].split("\n")[0])) == shape(
            json.loads(answer.split("data: ")[-1].split("\n")[0])
        )
    else:
        assert shape(json.loads(answer)) == shape(json.loads(shown))
        if "num_chars=100" in command:
            assert len(json.loads(answer)["generated"]) == len(json.loads(shown)["generated"]) == 100


def test_the_python_examples_run(served: Server, work: Path) -> None:
    assert len(PYTHON) == 2
    for number, code in enumerate(PYTHON):
        file = work / f"example{number}.py"
        file.write_text(code.replace("http://127.0.0.1:8000", served.url), "utf-8")
        assert run(f".venv/bin/python {file}", work).strip()


def test_training_on_ones_own_text_and_writing_with_it(work: Path) -> None:
    (commands,) = [code for kind, code in BLOCKS if kind == "sh" and "--corpus my.txt" in code]
    shorter = commands.replace("--time-budget 60", "--time-budget 2 --hidden-dim 16")
    assert shorter != commands
    written = run(shorter, work).splitlines()
    assert any(len(line) >= 204 and line.startswith("the ") for line in written)
    assert (work / "checkpoints" / "mine" / "model.safetensors").exists()


def test_the_two_commands_are_targets_of_the_makefile() -> None:
    makefile = (ROOT / "Makefile").read_text("utf-8")
    for target in re.findall(r"^make (\w+)", README, re.M):
        assert re.search(rf"^{target}:", makefile, re.M)


def test_every_setting_is_in_the_table_with_its_default() -> None:
    rows = dict(re.findall(rf"^\| `({PREFIX}\w+)` \| ([^|]*) \|", README, re.M))
    expected = {}
    for name, field in Settings.model_fields.items():
        empty = field.default in (None, (), "")
        expected[PREFIX + name.upper()] = "–" if empty else f"`{field.default}`"
    assert rows == expected


def test_every_module_is_in_the_file_list() -> None:
    listed = set(re.findall(r"^\| `([\w/]+\.py)` \|", README, re.M))
    modules = {str(p.relative_to(ROOT)) for d in ("app", "model", "scripts") for p in (ROOT / d).rglob("*.py")}
    assert listed == {name for name in modules if (ROOT / name).read_text("utf-8").strip()}


def test_every_linked_file_exists() -> None:
    for target in re.findall(r"\]\(([^)#:]+)\)", README):
        assert (ROOT / target).exists(), target
