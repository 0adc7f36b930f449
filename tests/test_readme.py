"""The README's commands run, its answers have the shape of real ones, its tables are those of the code."""

from __future__ import annotations

import itertools
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from app.settings import PREFIX, Settings
from tests.app.conftest import Server, eventually
from tests.programs import require

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text("utf-8")
SETTINGS = (ROOT / "docs" / "settings.md").read_text("utf-8")
BLOCKS = re.findall(r"```(\w+)\n(.*?)```", README, re.S)
# A reader has none of the settings that tests' servers have, but another port.
READERS_SETTINGS: dict[str, Any] = dict.fromkeys(
    [PREFIX + name for name in ("MODELS_DIR", "DEFAULT_MODEL", "SECRET", "ALLOWED_HOSTS")], None
)


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder like a clone, with a text in it. `app` and `model` are found where they are installed: seen from another
    folder they would be compiled anew."""
    folder = tmp_path_factory.mktemp("clone")
    for name in ("scripts", ".venv"):
        (folder / name).symlink_to(Path(sys.prefix) if name == ".venv" else ROOT / name)
    (folder / "my.txt").write_text("The cat sat on the mat. The dog ate the cat's hat. " * 60, "utf-8")
    return folder


def run(command: str, folder: Path) -> str:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    result = subprocess.run(
        ["bash", "-ec", command], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, command + result.stderr + result.stdout
    return result.stdout


def shape(value: Any) -> Any:
    """The keys and types of JSON, without its values."""
    if isinstance(value, dict):
        return {key: shape(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [shape(value[0])] if value else []
    return "number" if isinstance(value, int | float) and not isinstance(value, bool) else type(value).__name__


def events(text: str) -> tuple[str, Any]:
    """The kind of the last event, and the shape of its data."""
    return re.findall(r"^event: (.*)$", text, re.M)[-1], shape(json.loads(text.split("data: ")[-1].split("\n")[0]))


class Reader:
    """Does what the README says, block by block, with models that are smaller and sooner trained."""

    def __init__(self, clone: Path, logs: Path) -> None:
        self.clone = clone
        self.logs = logs
        self.server: Server | None = None

    def start(self) -> None:
        self.server = Server(
            self.logs, self.clone / "checkpoints", cwd=self.clone, PYTHONPATH=str(ROOT), **READERS_SETTINGS
        )

    def stop(self) -> None:
        assert self.server is not None
        assert self.server.stop() == 0

    def make_run(self) -> None:
        run(".venv/bin/nextchar train --out checkpoints/lyrics --hidden-dim 16 --time-budget 1", self.clone)
        self.start()

    def ask(self, curl: str) -> str:
        assert self.server is not None
        return run(curl.replace("curl ", "curl -sS ").replace("http://127.0.0.1:8000", self.server.url), self.clone)

    def train(self, commands: str) -> None:
        shorter = commands.replace("--time-budget 60", "--time-budget 1 --hidden-dim 16")
        assert shorter != commands
        run(shorter, self.clone)
        eventually(
            lambda: '"name":"mine","default":false,"ready":true' in self.ask("curl http://127.0.0.1:8000/models")
        )

    def train_again_and_go_back(self, commands: str) -> None:
        model = self.clone / "checkpoints" / "mine" / "model.safetensors"
        before = model.read_bytes()
        written = run(commands.replace("--time-budget 60", "--time-budget 1 --hidden-dim 16"), self.clone)
        assert "is kept as a version" in written
        assert any(len(line) >= 204 and line.startswith("The ") for line in written.splitlines())
        assert model.read_bytes() == before

    def program(self, code: str) -> str:
        assert self.server is not None
        file = self.clone / "example.py"
        file.write_text(code.replace("http://127.0.0.1:8000", self.server.url), "utf-8")
        return run(f".venv/bin/python {file}", self.clone)


def test_the_commands_run_in_the_order_in_which_they_stand_and_answer_in_the_shape_that_is_shown(
    clone: Path, tmp_path: Path
) -> None:
    require("curl")
    reader = Reader(clone, tmp_path)
    answers: list[Any] = []
    done = []
    for (kind, code), (kind_after, after) in itertools.pairwise([*BLOCKS, ("", "")]):
        if "make run" in code:
            reader.make_run()
        elif kind == "sh" and "curl" in code:
            answer = reader.ask(code)
            if "stream=true" in code:
                assert events(answer) == events(after)
                continue
            answers.append(json.loads(answer))
            if kind_after == "json":
                assert shape(answers[-1]) == shape(json.loads(after)), code
            else:
                assert answers[-1]["model"] == "mine"
        elif kind == "sh" and "--overwrite" in code:
            reader.train_again_and_go_back(code)
        elif kind == "sh" and "--corpus my.txt" in code:
            reader.train(code)
        elif kind == "python":
            assert reader.program(code).strip()
        else:
            assert kind in ("json", "text"), f"nothing here runs {code}"
            continue
        done.append(kind)
    assert (done.count("sh"), done.count("python")) == (7, 2)
    assert len(answers[0]["generated"]) == 100
    # The first command still answers as it did, and so it does from a server that was started again.
    (first, *_) = [code for kind, code in BLOCKS if "curl" in code]
    for last in (False, True):
        again = json.loads(reader.ask(first))
        assert (again["model"], again["text"]) == ("lyrics", answers[0]["text"])
        reader.stop()
        if not last:
            reader.start()


def test_the_two_commands_are_targets_of_the_makefile() -> None:
    makefile = (ROOT / "Makefile").read_text("utf-8")
    for target in re.findall(r"^make (\w+)", README, re.M):
        assert re.search(rf"^{target}:", makefile, re.M)


def test_every_setting_is_in_the_table_with_its_default() -> None:
    rows = dict(re.findall(rf"^\| `({PREFIX}\w+)` \| ([^|]*) \|", SETTINGS, re.M))
    expected = {}
    for name, field in Settings.model_fields.items():
        empty = field.default in (None, (), "")
        expected[PREFIX + name.upper()] = "–" if empty else f"`{field.default}`"
    assert rows == expected


def test_every_folder_with_modules_is_in_the_file_list() -> None:
    """So is every module that stands beside the folders of `app` and `model`."""
    (section,) = re.findall(r"^## What is where\n(.*?)^## ", README, re.M | re.S)
    listed = {name for row in re.findall(r"^\| (`.*?) \|", section, re.M) for name in re.findall(r"`([^`]+)`", row)}
    files = [path for d in ("app", "model", "nextchar", "scripts") for path in (ROOT / d).rglob("*.py")]
    modules = [path for path in files if path.read_text("utf-8").strip()]
    beside = {ROOT / "app", ROOT / "model"}
    expected = {str(p.relative_to(ROOT)) for p in modules if p.parent in beside}
    expected |= {f"{p.parent.relative_to(ROOT)}/" for p in modules if p.parent not in beside}
    assert listed == expected


def test_it_is_short() -> None:
    assert len(README.splitlines()) < 200


def test_every_linked_file_exists() -> None:
    for target in re.findall(r"\]\(([^)#:]+)\)", README):
        assert (ROOT / target).exists(), target
