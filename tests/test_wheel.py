"""What an installed nextchar consists of, as setuptools finds it; nothing is built."""

from __future__ import annotations

from pathlib import Path

import pytest
from setuptools import Distribution
from setuptools.command.build_py import build_py

ROOT = Path(__file__).parent.parent


@pytest.fixture
def distribution(monkeypatch: pytest.MonkeyPatch) -> Distribution:
    monkeypatch.chdir(ROOT)
    distribution = Distribution({"script_name": "setup.py"})
    distribution.parse_config_files([ROOT / "pyproject.toml"])
    return distribution


def installed(distribution: Distribution) -> set[Path]:
    build = build_py(distribution)
    build.manifest_files = {}  # else it would write a list of files into the checkout
    build.ensure_finalized()
    files = {Path(file) for _, _, file in build.find_all_modules()}
    for package in build.packages:
        files |= {Path(file) for file in build.find_data_files(package, build.get_package_dir(package))}
    return files


def test_the_service_the_library_and_the_commands_are_installed_whole_and_nothing_else(
    distribution: Distribution,
) -> None:
    files = {path for package in ("app", "model", "nextchar") for path in Path(package).rglob("*") if path.is_file()}
    assert installed(distribution) == {path for path in files if "__pycache__" not in path.parts}


def test_checkers_are_told_that_each_package_has_types(distribution: Distribution) -> None:
    assert {Path(package, "py.typed") for package in ("app", "model", "nextchar")} <= installed(distribution)


def test_the_command_that_is_installed_is_the_one_of_the_package(distribution: Distribution) -> None:
    assert distribution.entry_points == {"console_scripts": ["nextchar = nextchar.start:main"]}
