"""Compiled results on disk, in copies of the package: as other processes, other sources and damaged files meet them."""

from __future__ import annotations

import ast
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import model.kernels.compiled

INNER = """
from model.kernels.compiled import compiled
@compiled
def inner(x):
    return x + {term}
"""
OUTER = """
from model.kernels.compiled import compiled
from model.inner import inner
@compiled
def outer(x):
    return 2 * inner(x)
"""
CALL = "from model.outer import outer; print(outer(1), sum(outer.stats.cache_hits.values()))"
# Says where it stands in saving a result, and goes on when it is told to.
SAVE = """
import fcntl, sys
from numba.core.caching import IndexDataCacheFile as File

def stop_before(owner, name, word):
    real = getattr(owner, name)
    def stopped(*given):
        if word not in said:
            said.append(word)
            print(word, flush=True)
            if word == stop_at:
                sys.stdin.readline()
        return real(*given)
    setattr(owner, name, stopped)

said, (_, stop_at, argument) = [], sys.argv
stop_before(fcntl, "flock", "lock")
stop_before(File, "_save_index", "index")
stop_before(File, "_save_data", "code")
from model.outer import outer
outer(eval(argument))
"""


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """A package `model` of compiled functions; what stands beside `model` is free."""
    folder = tmp_path / "place"
    (folder / "model" / "kernels").mkdir(parents=True)
    for package in (folder / "model", folder / "model" / "kernels"):
        (package / "__init__.py").touch()
    shutil.copy(model.kernels.compiled.__file__, folder / "model" / "kernels" / "compiled.py")
    (folder / "model" / "outer.py").write_text(OUTER)
    write_inner(folder, 1)
    return folder


def write_inner(package: Path, term: int) -> None:
    (package / "model" / "inner.py").write_text(INNER.format(term=term))


def start(package: Path, *command: str, **environment: str) -> subprocess.Popen[str]:
    own = {"HOME": str(package / "home"), "PYTHONPATH": str(package)}
    inherited = {name: value for name, value in os.environ.items() if name not in ("NUMBA_CACHE_DIR", "XDG_CACHE_HOME")}
    return subprocess.Popen(
        [sys.executable, "-c", *command],
        cwd=package,
        env={**inherited, **own, **environment},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def end(process: subprocess.Popen[str]) -> str:
    output, problem = process.communicate(timeout=120)
    assert process.returncode == 0, problem
    return output.strip()


def run(package: Path, command: str = CALL, **environment: str) -> str:
    return end(start(package, command, **environment))


def word(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def go_on(process: subprocess.Popen[str]) -> None:
    assert process.stdin is not None
    process.stdin.write("\n")
    process.stdin.flush()


def damage(package: Path, kind: str, content: bytes) -> None:
    files = list(package.rglob(f"outer.outer*.{kind}"))
    assert files
    for file in files:
        file.write_bytes(content)


def folders(place: Path) -> list[str]:
    return sorted(path.name for path in place.iterdir())


def test_a_result_is_kept_until_something_it_calls_changes_in_another_file(package: Path) -> None:
    assert run(package) == "4 0"
    assert run(package) == "4 1"
    write_inner(package, 10)
    assert run(package) == "22 0"
    assert len(list((package / "model" / "__pycache__" / "numba").iterdir())) == 1
    assert not (package / "home").exists()


@pytest.mark.slow
def test_a_package_that_cannot_be_written_keeps_its_results_by_its_sources_too(package: Path) -> None:
    (package / "model" / "__pycache__").touch()  # a file, where neither root nor anybody else can make a folder
    assert run(package) == "4 0"
    write_inner(package, 10)
    assert run(package) == "22 0"
    assert run(package) == "22 1"
    assert folders(package / "home" / ".cache") == ["nextchar"]


def test_where_nothing_can_be_written_functions_are_compiled_at_each_start(package: Path) -> None:
    (package / "model" / "__pycache__").touch()
    (package / "home").touch()
    process = start(package, CALL, NUMBA_CACHE_DIR=str(package / "home"))
    output, problem = process.communicate(timeout=120)
    assert (process.returncode, output.strip()) == (0, "4 0")
    assert problem.count("\n") == problem.count("what is compiled cannot be kept") == 1  # of two functions
    assert "set NUMBA_CACHE_DIR to a folder that can be written" in problem


@pytest.mark.slow
def test_only_results_of_this_places_earlier_sources_are_removed(package: Path, tmp_path: Path) -> None:
    other = shutil.copytree(package, tmp_path / "other")
    write_inner(other, 10)
    shared = tmp_path / "shared"
    environment = {"NUMBA_CACHE_DIR": str(shared)}
    assert run(package, **environment) == "4 0"
    (place,) = shared.iterdir()
    (before,) = place.iterdir()
    (place / "somebody's").mkdir()
    (shared / ("0" * 16)).mkdir()
    assert run(other, **environment) == "22 0"
    write_inner(package, 100)
    assert run(package, **environment) == "202 0"
    assert run(other, **environment) == "22 1"
    assert len(folders(place)) == 2
    assert "somebody's" in folders(place)
    assert before.name not in folders(place)
    assert (shared / ("0" * 16)).exists()


@pytest.mark.slow
def test_two_processes_that_save_at_once_keep_an_index_that_names_the_right_code(package: Path) -> None:
    (package / "model" / "outer.py").write_text(OUTER.replace("inner(x)", "(x + 1)"))
    first = start(package, SAVE, "index", "1")
    said = [word(first)]
    while said[-1] == "lock":
        said.append(word(first))
    assert said[-1] == "index"  # it has read the index and has yet to write it
    second = start(package, SAVE, "code", "0.5")
    if word(second) == "index":  # there is no lock, so it goes on until its index is written and its code is not
        assert word(second) == "code"
    go_on(first)
    end(first)
    go_on(second)
    end(second)
    calls = "from model.outer import outer; print(outer(1), outer(0.5), sum(outer.stats.cache_hits.values()))"
    assert run(package, calls) == "4 3.0 2"


@pytest.mark.slow
def test_a_damaged_file_is_as_good_as_none_and_is_replaced(package: Path) -> None:
    run(package)
    damage(package, "nbc", b"")
    assert run(package) == "4 0"
    damage(package, "nbi", b"no pickle")
    assert run(package) == "4 0"
    assert run(package) == "4 1"


DECORATORS = {"compiled", "contracted", "compiled_form_of", "intrinsic"}
PLACE = Path(model.kernels.compiled.__file__).parents[1]


def is_compiled(statement: ast.stmt) -> bool:
    """Whether it defines a function with one of the decorators."""
    decorators = statement.decorator_list if isinstance(statement, ast.FunctionDef) else []
    called = [node.func if isinstance(node, ast.Call) else node for node in decorators]
    return bool({node.id for node in called if isinstance(node, ast.Name)} & DECORATORS)


def names(statement: ast.stmt, *kinds: type[ast.expr_context]) -> set[str]:
    return {node.id for node in ast.walk(statement) if isinstance(node, ast.Name) and isinstance(node.ctx, kinds)}


def defined_by(statement: ast.stmt) -> set[str]:
    if isinstance(statement, ast.FunctionDef):
        return {statement.name}
    return names(statement, ast.Store) if isinstance(statement, ast.Assign | ast.AnnAssign) else set()


class WithoutTypes(ast.NodeTransformer):
    def visit_arg(self, node: ast.arg) -> ast.arg:
        return ast.arg(node.arg)

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        node.returns = None
        return self.generic_visit(node)


def imported_by_machine_code(path: Path) -> set[Path] | None:
    """Our modules from which the compiled functions of a file take a name, straight or by what stands at its top level.

    Compiled code freezes the values there. None where no function of the file is compiled.
    """
    body = WithoutTypes().visit(ast.parse(path.read_text("utf-8"))).body
    reached = [statement for statement in body if is_compiled(statement)]
    if not reached:
        return None
    read: set[str] = set()
    while more := set().union(*(names(statement, ast.Load) for statement in reached)) - read:
        read |= more
        reached = [statement for statement in body if defined_by(statement) & read]
    imports = [node for node in body if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("model.")]
    sources = [node for node in imports if {alias.name for alias in node.names} & read]
    return {PLACE.parent.joinpath(*str(node.module).split(".")).with_suffix(".py") for node in sources}


def sources_of_machine_code() -> set[str]:
    found = {path: imported for path in PLACE.rglob("*.py") if (imported := imported_by_machine_code(path)) is not None}
    return {str(path.relative_to(PLACE)) for path in found.keys() | set().union(*found.values())}


def test_whatever_machine_code_is_made_of_is_in_the_name_of_its_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = Path(shutil.copytree(PLACE, tmp_path / "model", ignore=shutil.ignore_patterns("__pycache__")))
    monkeypatch.setattr(model.kernels.compiled, "_SOURCES", copy)
    digest = model.kernels.compiled._digest.__wrapped__
    before = digest()
    sources = sources_of_machine_code()
    cells = {f"training/backends/cpu/{name}.py" for name in ("rnn", "gru", "lstm", "rows", "softmax")}
    assert sources > cells | {"kernels/tile.py", "kernels/packing.py", "processor.py", "sampling/random_stream.py"}
    for source in sorted({*sources, "kernels/compiled.py", "kernels/contracted.py"}):
        text = (copy / source).read_bytes()
        (copy / source).write_bytes(text + b"#")
        assert digest() != before, f"a change in {source} would go on with the machine code of before"
        (copy / source).write_bytes(text)
    (copy / "errors.py").write_text("")
    assert digest() == before


@pytest.mark.parametrize("then", ["", "open('model/__pycache__/numba', 'w').close();"])
@pytest.mark.slow
def test_a_folder_that_is_gone_is_no_reason_to_fail(package: Path, then: str) -> None:
    assert run(package, "import shutil, model.outer; shutil.rmtree('model/__pycache__/numba');" + then + CALL) == "4 0"
