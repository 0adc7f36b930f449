"""The tree is the architecture: imports go one way, and nothing heavy or networked happens at import."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
# A package may import itself and what stands behind it here.
MAY_IMPORT = {"model": set(), "app": {"model"}, "scripts": {"model"}}


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


def test_only_the_settings_read_the_environment() -> None:
    for package in ("model", "app"):
        for path in (ROOT / package).rglob("*.py"):
            text = path.read_text("utf-8")
            reads = "os.environ" in text or "getenv" in text
            assert not reads or path.name == "settings.py", f"{path.relative_to(ROOT)} reads the environment"


def test_mxnet_is_imported_by_the_one_module_that_prepares_it() -> None:
    for package in MAY_IMPORT:
        for path in (ROOT / package).rglob("*.py"):
            if path != ROOT / "model" / "device.py":
                assert "mxnet" not in imported_packages(path), f"{path.relative_to(ROOT)} imports mxnet itself"


@pytest.mark.parametrize("package", ["model", "app.main", "scripts.train", "scripts.evaluate"])
def test_importing_loads_no_engine(package: str) -> None:
    program = f"import sys, {package}; print(sorted({{'mxnet', 'onnxruntime', 'torch'}} & sys.modules.keys()))"
    result = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


def test_no_module_has_a_name_that_says_nothing() -> None:
    nothing = {"utils", "util", "common", "helpers", "helper", "core", "base", "misc"}
    assert not [p for package in MAY_IMPORT for p in (ROOT / package).rglob("*") if p.stem in nothing]
