"""What a run says about programs that are not there, by runs of pytest on a test that wants one."""

from __future__ import annotations

import contextlib
import functools
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from playwright import sync_api

from tests import programs

ROOT = Path(__file__).parent.parent
TESTS = """
import pytest
from tests import programs

@pytest.mark.parametrize("number", range(3))
def test_with_nginx(number):
    assert programs.require("nginx")

@pytest.fixture(scope="module")
def certificate():
    return programs.require("openssl")

def test_with_openssl(certificate): pass
def test_with_openssl_too(certificate): pass
def test_with_nothing(): pass
def test_that_is_skipped_for_another_reason(): pytest.skip("no GPU")
"""


def run(
    folder: Path, *arguments: str, missing: str = "nginx openssl", tests: str = TESTS, **environment: str
) -> list[str]:
    hooks = "from tests import programs\nfrom tests.programs import pytest_terminal_summary, pytest_unconfigure\n"
    absent = f"programs.find = lambda name: None if name in {missing.split()} else 'somewhere'\n"
    (folder / "conftest.py").write_text(hooks + absent, "utf-8")
    (folder / "test_it.py").write_text(tests, "utf-8")
    without = {name: value for name, value in os.environ.items() if name != "CI" and "XDIST" not in name}
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "-p",
            "xdist",
            "-p",
            "no:cacheprovider",
            "--rootdir",
            folder,
            folder,
            *arguments,
        ],
        cwd=ROOT,
        env={**without, "PYTHONPATH": str(ROOT), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout.splitlines()


@pytest.mark.parametrize("workers", [[], pytest.param(["-n", "2"], marks=pytest.mark.slow)], ids=["one process", "two"])
def test_the_last_line_names_each_missing_program_and_how_many_tests_wanted_it(
    tmp_path: Path, workers: list[str]
) -> None:
    *_, closing, last = run(tmp_path, *workers)
    assert closing.startswith("1 passed, 6 skipped in ")
    assert last == (
        "Tests skipped for want of a program: nginx (3 skipped), openssl (2 skipped). "
        "`make test-deps` installs what is missing."
    )


def test_a_program_of_the_peers_is_named_with_what_installs_it(tmp_path: Path) -> None:
    tests = TESTS.replace('"openssl"', '"haproxy"')
    *_, about_nginx, about_haproxy = run(tmp_path, missing="nginx haproxy", tests=tests)
    assert about_nginx == (
        "Tests skipped for want of a program: nginx (3 skipped). `make test-deps` installs what is missing."
    )
    assert about_haproxy == (
        "Tests skipped for want of a program: haproxy (2 skipped). `make test-peers` installs what is missing."
    )
    lines = run(tmp_path, missing="haproxy", tests=tests, CI="true")
    assert any("needs haproxy, which is not installed: make test-peers installs it" in line for line in lines)


@pytest.mark.parametrize("workers", [pytest.param([], marks=pytest.mark.slow), ["-n", "2"]], ids=["one process", "two"])
def test_a_last_line_says_how_many_tests_were_skipped_for_want_of_mxnet(tmp_path: Path, workers: list[str]) -> None:
    tests = """
import pytest
from tests.programs import NO_MXNET

@pytest.mark.skipif(True, reason=NO_MXNET)
@pytest.mark.parametrize("number", range(3))
def test_with_mxnet(number): pass
def test_without(): pass
"""
    *_, closing, last = run(tmp_path, *workers, tests=tests)
    assert closing.startswith("1 passed, 3 skipped in ")
    assert last == "Tests skipped because MXNet does not exist for this platform: 3."


def test_nothing_is_said_where_nothing_is_missing(tmp_path: Path) -> None:
    assert run(tmp_path, missing="")[-1].startswith("6 passed, 1 skipped in ")


def test_where_nothing_may_be_missing_a_test_without_its_program_fails(tmp_path: Path) -> None:
    lines = run(tmp_path, CI="true")
    assert lines[-1].startswith("3 failed, 1 passed, 1 skipped, 2 errors in ")
    assert any("needs nginx, which is not installed: make test-deps installs it" in line for line in lines)


def test_what_ci_runs_installs_programs_and_tests_and_does_nothing_else() -> None:
    lines = (ROOT / ".ci" / "run").read_text("utf-8").splitlines()
    assert lines == ["#!/usr/bin/env bash", "set -euo pipefail", 'cd "$(dirname "$0")/.."', "make test-deps test"]


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    return Machine(monkeypatch)


class Machine:
    """One that has the commands `has`; `ran` is what was run on it. What apt or Playwright installs is there then."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.has = {"apt-get"}
        self.ran: list[str] = []
        self.apt_works = True
        self.user = 0
        downloaded = functools.cache(lambda: "chrome" if "download" in self.has else None)
        monkeypatch.setattr(shutil, "which", lambda command, path="": command if command in self.has else None)
        monkeypatch.setattr(os, "geteuid", lambda: self.user)
        monkeypatch.setattr(subprocess, "run", self.run)
        monkeypatch.setattr(programs, "playwrights_chromium", downloaded)

    def run(self, command: list[str], **_: object) -> None:
        self.ran.append(" ".join(command))
        if "install" in command and "apt-get" in command and self.apt_works:
            brings = {"chromium": "chromium", "curl": "curl", "nginx-light": "nginx", "openssl": "openssl"}
            self.has |= {brings[package] for package in command if package in brings}
        if command[:2] == ["brew", "install"]:
            self.has |= set(command)
        if command[-2:] == ["install", "chromium"] and "playwright" in command:
            self.has.add("download")


def test_what_is_missing_is_installed_with_apt_and_told(machine: Machine, capsys: pytest.CaptureFixture[str]) -> None:
    machine.has |= {"curl", "openssl"}
    assert programs.install() is None
    assert [line.split("apt-get ")[1] for line in machine.ran] == [
        "-qq update",
        "-qq install --yes --no-install-recommends chromium fonts-noto-cjk libatomic1 nginx-light",
    ]
    assert not any(line.startswith("sudo") for line in machine.ran)
    assert capsys.readouterr().out.splitlines()[-1] == "test-deps: installed chromium, nginx"


def test_a_person_who_is_not_root_uses_sudo(machine: Machine) -> None:
    machine.user = 1000
    machine.has.add("sudo")
    assert programs.install() is None
    assert machine.ran
    assert all(line.startswith("sudo ") for line in machine.ran)


@pytest.mark.parametrize("reason", ["no apt", "no sudo", "apt fails"])
def test_without_apt_playwright_brings_a_chromium_and_the_rest_is_named(
    machine: Machine, capsys: pytest.CaptureFixture[str], reason: str
) -> None:
    if reason == "no apt":
        machine.has.clear()
    machine.user = 1000 if reason == "no sudo" else 0
    machine.apt_works = False
    assert programs.install() == "test-deps: still missing: curl, nginx, openssl"
    assert machine.ran[-1].endswith("-m playwright install chromium")
    assert any("apt-get" in line for line in machine.ran) == (reason == "apt fails")
    assert capsys.readouterr().out.splitlines()[-1] == "test-deps: installed chromium"


def test_on_macos_homebrew_brings_nginx_and_playwright_a_chromium(machine: Machine) -> None:
    machine.user = 501
    machine.has = {"brew", "curl", "openssl"}  # the last two come with the system
    assert programs.install() is None
    assert [line.rpartition("-m ")[2] for line in machine.ran] == [
        "brew install --quiet nginx",
        "playwright install chromium",
    ]


def test_where_there_is_apt_homebrew_is_not_asked(machine: Machine) -> None:
    machine.has.add("brew")
    assert programs.install() is None
    assert not any("brew" in line for line in machine.ran)


def test_a_playwright_that_does_not_start_has_no_chromium(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sync_api, "sync_playwright", lambda: contextlib.nullcontext(None))
    programs.playwrights_chromium.cache_clear()
    assert programs.playwrights_chromium() is None
    programs.playwrights_chromium.cache_clear()


def test_where_nothing_is_missing_nothing_is_run(machine: Machine, capsys: pytest.CaptureFixture[str]) -> None:
    machine.has |= programs.PROGRAMS.keys()
    assert programs.install() is None
    assert machine.ran == []
    assert capsys.readouterr().out == "test-deps: nothing is missing\n"


def test_programs_of_the_peers_are_installed_only_with_them() -> None:
    assert programs.PROGRAMS.keys().isdisjoint(programs.PEERS)
    assert [programs.target(name) for name in ("nginx", "wget", "prism")] == [
        "make test-deps",
        "make test-peers",
        "make test-peers",
    ]


def test_every_test_of_the_peers_is_marked() -> None:
    files = sorted((ROOT / "tests" / "peers").glob("test_*.py"))
    assert files
    assert [file.name for file in files if "\npytestmark = pytest.mark.peers\n" not in file.read_text("utf-8")] == []


def test_what_is_brought_for_the_peers_is_locked_and_no_registry_is_named() -> None:
    wanted = json.loads((ROOT / "tests" / "peers" / "package.json").read_text("utf-8"))["dependencies"]
    locked = json.loads((ROOT / "tests" / "peers" / "package-lock.json").read_text("utf-8"))["packages"]
    root = locked.pop("")
    assert root["dependencies"] == wanted
    assert all(locked[f"node_modules/{name}"]["version"] == version for name, version in wanted.items())
    assert all(package["integrity"].startswith("sha512-") for package in locked.values())
    assert not any("resolved" in package for package in locked.values())
    python = (ROOT / "requirements" / "peers.txt").read_text("utf-8")
    assert "://" not in python
    ours = (ROOT / "requirements" / "dev.txt").read_text("utf-8")
    (openai,) = (line for line in python.splitlines() if line.startswith("openai=="))
    assert openai in ours.splitlines()
