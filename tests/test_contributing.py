"""What people who join are told is so: CONTRIBUTING.md, SECURITY.md, and the files that check for them."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_args

import pytest
import yaml

from app.settings import Settings
from model.config import GATES
from model.engines import onnx_graph
from model.engines.choice import ENGINES
from model.training.backends.cpu.layers import LAYERS
from tests import book, floor
from tests.model.engines import test_engines
from tests.reference import MXNET_EXISTS, cells

if sys.version_info >= (3, 11):
    import tomllib
else:
    tomllib = pytest.importorskip("tomli")

ROOT = Path(__file__).parent.parent
PAGES = ("CONTRIBUTING.md", "SECURITY.md", "docs/development.md")
TOP = "app|docs|deploy|model|nextchar|requirements|scripts|tests"
MAKEFILE = (ROOT / "Makefile").read_text("utf-8")
WORKFLOW: dict[Any, Any] = yaml.safe_load((ROOT / ".github" / "workflows" / "ci.yml").read_text("utf-8"))
(JOB,) = WORKFLOW["jobs"].values()


def text(page: str) -> str:
    return (ROOT / page).read_text("utf-8")


def recipe(target: str) -> list[str]:
    (lines,) = re.findall(rf"^{target}:.*\n((?:\t.*\n)+)", MAKEFILE, re.M)
    return [line.strip().lstrip("@") for line in lines.splitlines()]


@pytest.mark.parametrize("page", PAGES)
def test_every_file_that_a_page_names_exists(page: str) -> None:
    named = re.findall(rf"(?<![\w/.])((?:{TOP})/[\w./-]*[\w/])", text(page))
    linked = [
        str((ROOT / page).parent.joinpath(link).relative_to(ROOT))
        for link in re.findall(r"\]\(([^)#:]+)\)", text(page))
    ]
    assert [name for name in {*named, *linked} if not (ROOT / name).exists()] == []


@pytest.mark.parametrize("page", PAGES)
def test_every_target_that_a_page_names_is_one(page: str) -> None:
    named = set(re.findall(r"(?:`|^)make ([\w-]+)", text(page), re.M))
    assert {target for target in named if not re.search(rf"^{target}:", MAKEFILE, re.M)} == set()


def test_every_setting_that_is_said_to_guard_is_one() -> None:
    named = set(re.findall(r"NEXTCHAR_(\w+)", text("SECURITY.md")))
    assert named
    assert {name.lower() for name in named} <= Settings.model_fields.keys()


def test_a_cell_is_computed_by_everything_that_computes_cells() -> None:
    places: dict[str, Mapping[str, Any]] = {
        "model/training/backends/cpu/layers.py": LAYERS,
        "model/engines/onnx_graph.py": onnx_graph._CELLS,
        "tests/book.py": book.CELLS,
    }
    if MXNET_EXISTS:
        from model.engines import mxnet

        places |= {"model/reference/cells.py": cells.CELLS, "model/engines/mxnet.py": mxnet._CELLS}
    assert [f"{place} lacks {cell}" for place, known in places.items() for cell in GATES.keys() - known.keys()] == []
    listed = set(re.findall(r"`([\w/.]+\.py)`", text("CONTRIBUTING.md")))
    assert places.keys() <= listed


def test_an_engine_can_be_asked_for_wherever_engines_are_and_is_tested_as_they_are() -> None:
    settings = set(get_args(Settings.model_fields["engine"].annotation)) - {"auto"}
    tested = {parameter.values[0] for parameter in test_engines.ENGINES}
    (example,) = re.findall(r"^# .*\((.*)\)\n#NEXTCHAR_ENGINE=", text(".env.example"), re.M)
    (told,) = re.findall(r'"--engine", .*help="auto, (.*?);', text("nextchar/generate.py"))
    assert settings == ENGINES.keys(), "app/settings.py"
    assert tested == ENGINES.keys(), "tests/model/engines/test_engines.py"
    assert set(example.split(" | ")) - {"auto"} == ENGINES.keys(), ".env.example"
    assert set(re.split(", | or ", told)) == ENGINES.keys(), "nextchar/generate.py"


def test_before_a_commit_runs_what_make_lint_runs() -> None:
    (local,) = yaml.safe_load(text(".pre-commit-config.yaml"))["repos"]
    assert local["repo"] == "local"
    assert [hook["entry"] for hook in local["hooks"]] == [
        line.replace("$(BIN)", ".venv/bin") for line in recipe("lint")
    ]


def test_the_workflow_runs_what_people_run_on_every_python_and_system_that_is_promised() -> None:
    assert [step["run"] for step in JOB["steps"] if "run" in step] == ["make PYTHON=python test-deps test"]
    matrix = JOB["strategy"]["matrix"]
    (classifiers,) = re.findall(r"^PYTHON \?= \$\(shell for p in (.*); do", MAKEFILE, re.M)
    pythons = {name.removeprefix("python") for name in classifiers.split()} - {"3"}
    assert set(matrix["python"]) == pythons
    assert {system.partition("-")[0] for system in matrix["system"]} == {"ubuntu", "macos"}


def test_the_workflow_may_only_read_and_knows_no_secret() -> None:
    assert WORKFLOW["permissions"] == {"contents": "read"}
    assert "permissions" not in JOB
    assert "secrets." not in text(".github/workflows/ci.yml")
    used = [step["uses"] for step in JOB["steps"] if "uses" in step]
    assert all(re.fullmatch(r"actions/[\w-]+@(v\d+|[0-9a-f]{40})", action) for action in used), used
    assert WORKFLOW["concurrency"]["cancel-in-progress"] is True


def test_the_tests_are_measured_and_then_held_to_the_floor() -> None:
    *_, pytest_line, options, last = recipe("test")
    assert "-m pytest" in pytest_line
    assert options.startswith("$(if $(COVERAGE),--cov ")
    assert last.startswith("$(if $(COVERAGE),$(BIN)/python -m tests.floor,echo ")
    measured = tomllib.loads(text("pyproject.toml"))["tool"]["coverage"]
    assert measured["run"]["source"] == ["app", "model", "nextchar"]
    assert 85 <= measured["report"]["fail_under"] <= 100


@pytest.mark.parametrize(
    ("share", "missing", "will_do", "said"),
    [
        (90.0, [], True, "(at least 90 %)."),
        (89.9, [], False, "fewer than 90 %: `.venv/bin/coverage report` names the lines."),
        (80.0, ["MXNet", "nginx"], True, "the floor of 90 % is not held here, without MXNet, nginx."),
    ],
)
def test_too_few_lines_are_too_few_only_where_every_test_can_run(
    share: float, missing: list[str], will_do: bool, said: str
) -> None:
    line, found = floor.verdict(share, 90.0, missing)
    assert found is will_do
    assert line.startswith(f"Tests run {share} % of the lines of app, model and nextchar")
    assert line.endswith(said)


def test_what_tests_are_skipped_for_want_of_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(floor, "find", lambda name: None if name == "nginx" else "somewhere")
    for exists, expected in ((True, ["nginx"]), (False, ["MXNet", "nginx"])):
        monkeypatch.setattr(floor, "MXNET_EXISTS", exists)
        assert floor.absent() == expected
