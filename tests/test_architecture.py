"""The tree is the architecture: imports go one way, and nothing heavy or networked happens at import."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
# A package may import itself and what stands behind it here.
MAY_IMPORT = {"model": set(), "app": {"model"}, "nextchar": {"app", "model"}, "scripts": {"model", "nextchar"}}

PACKAGES = ("app", "model", "nextchar")  # what is installed

# A room is a folder or a module. It may import itself, and the rooms and modules that stand behind it here.
# Imports inside functions and those for types count as well.
ROOMS = {
    "app/addresses.py": "",
    "app/health.py": "app/addresses.py",
    "app/refusals.py": "",
    "app/server/": "",
    "app/web_origin.py": "",
    "app/settings.py": "app/addresses.py app/web_origin.py model/errors.py model/versions.py",
    "app/scheduling/": "app/refusals.py model/arrays.py model/decoding/ model/sampling/ model/text/",
    "app/serving/": (
        "app/refusals.py app/scheduling/ app/settings.py model/__init__.py model/arrays.py model/checkpoint.py "
        "model/decoding/measure.py model/errors.py model/files.py model/language_model.py model/sampling/ "
        "model/seeds.py model/text/boundaries.py model/versions.py"
    ),
    "app/wire/": "app/refusals.py app/scheduling/reply.py app/scheduling/requests.py model/errors.py",
    "app/middleware/": "app/web_origin.py app/wire/ model/errors.py",
    "app/native/": (
        "app/refusals.py app/scheduling/reply.py app/scheduling/requests.py app/serving/ app/settings.py app/wire/ "
        "model/arrays.py model/config.py model/decoding/measure.py model/decoding/scoring.py model/errors.py "
        "model/sampling/options.py model/text/boundaries.py model/versions.py"
    ),
    "app/openai/": (
        "app/refusals.py app/scheduling/reply.py app/scheduling/requests.py app/serving/ app/settings.py app/wire/ "
        "model/arrays.py model/decoding/measure.py model/errors.py model/sampling/options.py"
    ),
    "app/operation/": "app/scheduling/observer.py app/serving/service.py app/wire/json.py app/wire/openapi.py",
    "app/web/": "app/wire/",
    "app/main.py": (
        "app/middleware/ app/native/ app/openai/ app/operation/ app/serving/ app/settings.py app/web/ app/wire/"
    ),
    "app/__main__.py": (
        "app/main.py app/middleware/forwarded.py app/operation/log.py app/server/ app/serving/hang.py "
        "app/serving/service.py app/settings.py app/wire/problem_types.py model/engines/choice.py model/errors.py"
    ),
    "model/arrays.py": "",
    "model/errors.py": "",
    "model/kernels/": "model/arrays.py model/processor.py",
    "model/plain_record.py": "",
    "model/processor.py": "",
    "model/seeds.py": "",
    "model/config.py": "model/errors.py",
    "model/files.py": "model/arrays.py model/errors.py",
    "model/sampling/": "model/arrays.py model/errors.py model/kernels/compiled.py",
    "model/text/": "model/arrays.py model/errors.py",
    "model/checkpoint.py": (
        "model/arrays.py model/config.py model/errors.py model/files.py model/plain_record.py model/text/"
    ),
    "model/decoding/": "model/arrays.py model/config.py model/kernels/compiled.py model/sampling/",
    "model/reference/": "model/checkpoint.py model/config.py model/errors.py model/processor.py",
    "model/versions.py": "model/checkpoint.py model/errors.py model/files.py model/plain_record.py",
    "model/engines/": (
        "model/arrays.py model/checkpoint.py model/config.py model/decoding/engine.py model/errors.py "
        "model/processor.py model/text/"
    ),
    "model/writing.py": "model/arrays.py model/decoding/ model/text/ending.py",
    "model/language_model.py": (
        "model/arrays.py model/checkpoint.py model/decoding/ model/errors.py model/sampling/ model/seeds.py "
        "model/text/beginning.py model/text/boundaries.py model/text/ending.py model/writing.py"
    ),
    "model/__init__.py": "model/checkpoint.py model/engines/choice.py model/language_model.py",
    "model/evaluation.py": (
        "model/arrays.py model/checkpoint.py model/errors.py model/text/ model/training/backends/cpu/"
    ),
    "model/export/": (
        "model/arrays.py model/checkpoint.py model/config.py model/engines/ model/errors.py model/files.py model/text/"
    ),
    "model/training/optimisation/initialise.py": "model/arrays.py model/config.py",
    "model/training/position.py": "model/errors.py",
    "model/training/setting.py": "model/errors.py",
    "model/training/options.py": (
        "model/config.py model/errors.py model/processor.py model/text/held_out.py "
        "model/training/optimisation/initialise.py model/training/setting.py"
    ),
    "model/training/ending.py": "model/training/options.py model/training/position.py",
    "model/training/optimisation/": "model/arrays.py model/config.py model/kernels/ model/training/options.py",
    "model/training/fitting.py": "model/text/",
    "model/training/presets.py": "model/errors.py model/kernels/ model/text/ model/training/options.py",
    "model/training/speed.py": (
        "model/text/ model/training/backend.py model/training/options.py model/training/report/ "
        "model/training/trainer.py"
    ),
    "model/training/planning.py": (
        "model/text/ model/training/fitting.py model/training/options.py model/training/presets.py "
        "model/training/speed.py"
    ),
    "model/training/resuming.py": "model/errors.py model/text/ model/training/options.py",
    "model/training/memory.py": "model/config.py model/errors.py model/training/options.py",
    "model/training/backend.py": "model/arrays.py model/training/optimisation/",
    "model/training/backends/": (
        "model/arrays.py model/config.py model/errors.py model/kernels/ model/processor.py model/training/backend.py "
        "model/training/optimisation/ model/training/options.py"
    ),
    "model/training/report/": (
        "model/arrays.py model/config.py model/errors.py model/files.py model/plain_record.py model/processor.py "
        "model/text/ model/training/backend.py model/training/optimisation/ model/training/options.py "
        "model/training/position.py"
    ),
    "model/training/trainer.py": (
        "model/arrays.py model/checkpoint.py model/config.py model/errors.py model/text/ model/training/backend.py "
        "model/training/backends/choice.py model/training/ending.py model/training/optimisation/ "
        "model/training/memory.py model/training/options.py model/training/position.py model/training/report/ "
        "model/training/resuming.py"
    ),
    "model/training/run.py": (
        "model/arrays.py model/checkpoint.py model/errors.py model/files.py model/plain_record.py "
        "model/training/report/ model/training/trainer.py model/versions.py"
    ),
    "model/training/__init__.py": (
        "model/training/optimisation/ model/training/options.py model/training/presets.py model/training/trainer.py"
    ),
    "model/training/__main__.py": "model/text/ model/training/__init__.py",
    "nextchar/terminal.py": "",
    "nextchar/progress.py": (
        "model/checkpoint.py model/training/__init__.py model/training/ending.py model/training/report/events.py "
        "model/training/run.py nextchar/facts.py nextchar/terminal.py"
    ),
    "nextchar/benchmarks/": (
        "model/__init__.py model/arrays.py model/checkpoint.py model/config.py model/decoding/ model/engines/ "
        "model/errors.py model/kernels/ model/language_model.py model/processor.py model/text/ "
        "model/training/backend.py model/training/backends/cpu/ model/training/optimisation/"
    ),
    "nextchar/facts.py": (
        "model/text/encoding.py model/text/facts.py model/text/learnable.py model/text/source.py nextchar/terminal.py"
    ),
    "nextchar/idle.py": "model/text/stored.py nextchar/terminal.py",
    "nextchar/rules.py": "model/text/rules.py model/text/stored.py model/training/presets.py",
    "nextchar/benchmark.py": "model/errors.py nextchar/benchmarks/ nextchar/terminal.py",
    "nextchar/evaluate.py": (
        "model/checkpoint.py model/errors.py model/evaluation.py model/text/corpus.py model/text/source.py "
        "nextchar/idle.py nextchar/terminal.py"
    ),
    "nextchar/export.py": (
        "model/checkpoint.py model/errors.py model/export/ model/text/rules.py model/versions.py nextchar/idle.py "
        "nextchar/terminal.py"
    ),
    "nextchar/generate.py": (
        "model/__init__.py model/errors.py model/language_model.py nextchar/idle.py nextchar/prefixes.py "
        "nextchar/terminal.py nextchar/writing.py nextchar/written.py"
    ),
    "nextchar/prefixes.py": "model/errors.py",
    "nextchar/written.py": "model/errors.py model/language_model.py nextchar/terminal.py",
    "nextchar/writing.py": (
        "model/language_model.py model/sampling/options.py model/seeds.py nextchar/prefixes.py nextchar/written.py"
    ),
    "nextchar/models.py": "model/errors.py model/versions.py nextchar/terminal.py",
    "nextchar/runs.py": "model/checkpoint.py model/errors.py nextchar/terminal.py",
    "nextchar/score.py": (
        "model/__init__.py model/checkpoint.py model/decoding/scoring.py model/errors.py model/text/corpus.py "
        "nextchar/idle.py nextchar/terminal.py"
    ),
    "nextchar/serve.py": "app/__main__.py",
    "nextchar/options.py": "model/training/__init__.py model/training/options.py model/training/setting.py",
    "nextchar/train.py": (
        "model/checkpoint.py model/errors.py model/text/learnable.py model/training/__init__.py "
        "model/training/options.py model/training/planning.py model/training/presets.py "
        "model/training/report/journal.py model/training/resuming.py model/training/run.py nextchar/idle.py "
        "nextchar/options.py nextchar/progress.py nextchar/resume.py nextchar/rules.py nextchar/terminal.py"
    ),
    "nextchar/resume.py": "model/errors.py model/text/",
    "nextchar/start.py": "nextchar/__main__.py",
    "nextchar/__main__.py": (  # by name, when one is called
        "nextchar/benchmark.py nextchar/evaluate.py nextchar/export.py nextchar/generate.py nextchar/models.py "
        "nextchar/runs.py nextchar/score.py nextchar/serve.py nextchar/terminal.py nextchar/train.py"
    ),
}
# What single modules may import beyond their room.
ALONE = {
    "model/engines/mxnet.py": "model/reference/",
    "model/export/mxnet.py": "model/reference/",
    "model/export/onnx.py": "model/training/backend.py model/training/backends/choice.py",
    "model/training/backends/choice.py": "model/reference/device.py",
    "model/training/backends/mxnet.py": "model/reference/",
    "nextchar/benchmarks/mxnet_peers.py": "model/reference/ model/training/backends/mxnet.py",
}
# What makes two runs differ: the time, numbers that nobody can foresee, threads, the event loop. These rooms are handed
# it, and import of it only what stands behind a module here.
NEVER_TWICE = {"asyncio", "concurrent", "datetime", "os", "random", "secrets", "threading", "time", "uuid"}
HANDED_IN = ("app/scheduling/", "model/decoding/", "model/sampling/")
THEIR_OWN = {
    "app/scheduling/inbox.py": {"threading"},
    "app/scheduling/scheduler.py": {"asyncio"},
    "app/scheduling/worker.py": {"threading"},
}

Arrow = tuple[str, str]


def imported_packages(path: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: a relative import hides which package it means"
            names.add((node.module or "").split(".")[0])
    return names


@pytest.mark.parametrize("package", MAY_IMPORT)
def test_imports_go_one_way(package: str) -> None:
    files = list((ROOT / package).rglob("*.py"))
    assert files
    for path in files:
        forbidden = imported_packages(path) & (MAY_IMPORT.keys() | {"tests"}) - MAY_IMPORT[package] - {package}
        assert not forbidden, f"{path.relative_to(ROOT)} imports {forbidden}"


def test_model_knows_nothing_of_http() -> None:
    for path in (ROOT / "model").rglob("*.py"):
        forbidden = imported_packages(path) & {"fastapi", "starlette", "uvicorn", "httpx", "pydantic", "structlog"}
        assert not forbidden, f"{path.relative_to(ROOT)} imports {forbidden}"


def test_only_the_settings_read_the_environment_and_the_health_check_which_must_not_take_long() -> None:
    readers = [ROOT / "app" / "settings.py", ROOT / "app" / "health.py"]
    for package in ("model", "app", "nextchar"):
        for path in (ROOT / package).rglob("*.py"):
            text = path.read_text("utf-8")
            reads = "os.environ" in text or "getenv" in text
            assert not reads or path in readers, f"{path.relative_to(ROOT)} reads the environment"


def test_mxnet_is_imported_by_the_one_module_that_prepares_it() -> None:
    for package in MAY_IMPORT:
        for path in (ROOT / package).rglob("*.py"):
            if path != ROOT / "model" / "reference" / "device.py":
                assert "mxnet" not in imported_packages(path), f"{path.relative_to(ROOT)} imports mxnet itself"


@pytest.mark.parametrize("package", ["model", "app.main", "nextchar.train", "nextchar.evaluate"])
def test_importing_loads_no_engine(package: str) -> None:
    program = f"import sys, {package}; print(sorted({{'mxnet', 'onnxruntime', 'torch'}} & sys.modules.keys()))"
    result = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


def test_no_module_has_a_name_that_says_nothing() -> None:
    nothing = {"utils", "util", "common", "helpers", "helper", "core", "base", "misc"}
    assert not [p for package in MAY_IMPORT for p in (ROOT / package).rglob("*") if p.stem in nothing]


def place(*names: str) -> str | None:
    """The file of a module, `app/wire/json.py` of ("app", "wire", "json"); None where there is none."""
    path = "/".join(names)
    return next((p for p in (f"{path}.py", f"{path}/__init__.py") if (ROOT / p).is_file()), None)


def imported_modules(source: str) -> Iterator[str]:
    """The files of our own modules that a source imports."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found = [place(*alias.name.split(".")) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            package = (node.module or "").split(".")
            found = [place(*package, alias.name) or place(*package) for alias in node.names]
        else:
            continue
        yield from (module for module in found if module and module.split("/")[0] in PACKAGES)


@cache
def modules() -> dict[str, str]:
    """Every module of these packages that has anything in it, with its source."""
    paths = [path for package in PACKAGES for path in (ROOT / package).rglob("*.py")]
    sources = {str(path.relative_to(ROOT)): path.read_text("utf-8") for path in paths}
    return {name: source for name, source in sources.items() if source.strip()}


@cache
def arrows() -> frozenset[Arrow]:
    return frozenset({(module, other) for module, source in modules().items() for other in imported_modules(source)})


def covers(entry: str, module: str) -> bool:
    return module.startswith(entry) if entry.endswith("/") else module == entry


def room_of(module: str) -> str | None:
    return max((room for room in ROOMS if covers(room, module)), key=len, default=None)


def allowed(module: str, other: str) -> bool:
    room = room_of(module)
    entries = f"{ROOMS[room or '']} {ALONE.get(module, '')}".split()
    return room == room_of(other) or any(covers(entry, other) for entry in entries)


def circle(arrows: Iterable[Arrow]) -> str:
    """One of the circles that the arrows make, or nothing."""
    graph: dict[str, set[str]] = {}
    for one, other in arrows:
        graph.setdefault(one, set()).add(other)
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return " ← ".join(error.args[1])
    return ""


def floors(rooms: Mapping[str, str]) -> dict[str, int]:
    """One above the highest floor that a room imports of its own package."""
    found: dict[str, int] = {}

    def floor(room: str) -> int:
        if room not in found:
            below = {room_of(entry) for entry in rooms[room].split() if entry.split("/")[0] == room.split("/")[0]}
            found[room] = 1 + max((floor(other) for other in below if other), default=0)
        return found[room]

    return {room: floor(room) for room in rooms}


def test_every_room_exists_and_every_module_has_one() -> None:
    for entry in [*ROOMS, *ALONE, *" ".join([*ROOMS.values(), *ALONE.values()]).split()]:
        assert (ROOT / entry).is_dir() if entry.endswith("/") else (ROOT / entry).is_file(), entry
    for entry in " ".join([*ROOMS.values(), *ALONE.values()]).split():
        assert room_of(entry), entry
    for module in modules():
        assert room_of(module), f"{module} has no room"
    assert not [room for room in ROOMS if room not in {room_of(module) for module in modules()}]


def test_a_room_imports_only_what_its_line_allows() -> None:
    forbidden = [f"{module} → {other}" for module, other in sorted(arrows()) if not allowed(module, other)]
    assert not forbidden, "\n".join(forbidden)


def test_a_line_allows_only_what_is_imported() -> None:
    by_name = [entry for entry in ROOMS["nextchar/__main__.py"].split() if entry != "nextchar/terminal.py"]
    unused = [
        f"{room} → {entry}"
        for room, entries in (ROOMS | ALONE).items()
        for entry in entries.split()
        if not any(covers(room, module) and covers(entry, other) for module, other in arrows())
    ]
    assert unused == [f"nextchar/__main__.py → {entry}" for entry in by_name]


def test_rooms_do_not_import_each_other_in_a_circle() -> None:
    table = {(room, entry) for room, entries in ROOMS.items() for entry in entries.split()}
    table |= {(module, entry) for module, entries in ALONE.items() for entry in entries.split()}
    between = {(str(room_of(one)), str(room_of(other))) for one, other in table | arrows()}
    assert not circle((one, other) for one, other in between if one != other)


def test_modules_do_not_import_each_other_in_a_circle() -> None:
    assert not circle(arrows())


def test_decoding_is_handed_the_time_its_seeds_and_the_way_to_the_loop() -> None:
    found = {
        module: imported_packages(ROOT / module) & NEVER_TWICE for module in modules() if module.startswith(HANDED_IN)
    }
    assert {module: names for module, names in found.items() if names} == THEIR_OWN
    for module in found:
        drawn = [node for node in ast.walk(ast.parse(modules()[module])) if isinstance(node, ast.Attribute)]
        assert not [node for node in drawn if ast.unparse(node) == "np.random"], f"{module} draws numbers of its own"


def test_the_table_in_the_documentation_is_this_one() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text("utf-8")
    rows = re.findall(r"^\| (\d+) \| `([\w/.]+)` \| (.*) \|$", text, re.M)
    shown = {room: (int(floor), set(re.findall(r"`([\w/.]+)`", entries))) for floor, room, entries in rows}
    assert shown == {room: (floor, set(ROOMS[room].split())) for room, floor in floors(ROOMS).items()}
    alone = re.findall(r"^\| `([\w/.]+)` \| (.*) \|$", text.partition("Single modules may more")[2], re.M)
    assert {module: " ".join(re.findall(r"`([\w/.]+)`", entries)) for module, entries in alone} == ALONE
