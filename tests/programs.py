"""The programs that tests need beyond Python: where they are, what is said where they are not, how they get installed.

A test that asks for a missing one is skipped; where `CI` is set it fails. `python -m tests.programs` (`make test-deps`)
installs what is missing: with apt where that may be used, else what can be had without it: nginx with Homebrew, and a
Chromium of Playwright's.
`PEERS` are the programs of tests/peers and tests/clients, which `make test-peers` installs. The last lines of a run,
about what was skipped, are printed here; the one about MXNet too.
"""

from __future__ import annotations

import functools
import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import pytest

# MXNet is no program and cannot be installed where it is missing: tests/reference.py skips what needs it.
NO_MXNET = "MXNet does not exist for this platform"


@dataclass(frozen=True)
class Program:
    commands: tuple[str, ...]  # any of them will do
    packages: tuple[str, ...]  # Debian's and Ubuntu's, with what drives it


PROGRAMS = {
    "chromium": Program(
        ("chromium", "chromium-browser", "google-chrome"), ("chromium", "fonts-noto-cjk", "libatomic1")
    ),
    "curl": Program(("curl",), ("curl", "ca-certificates")),
    "nginx": Program(("nginx",), ("nginx-light",)),
    "openssl": Program(("openssl",), ("openssl",)),
}
# What tests/peers asks besides, which `make test-deps` does not install.
PEERS = {
    "haproxy": Program(("haproxy",), ("haproxy",)),
    "java": Program(("java",), ("default-jre-headless",)),
    "node": Program(("node",), ("nodejs",)),
    "npm": Program(("npm",), ("npm",)),
    "promtool": Program(("promtool",), ("prometheus",)),
    "varnishd": Program(("varnishd",), ("varnish",)),  # its package brings the compiler that it calls
    "wget": Program(("wget",), ("wget",)),
}
FORMULAE = ("nginx",)  # Homebrew's; curl and openssl come with macOS, and a Chromium is Playwright's
REASON = "needs {}, which is not installed"
MISSING = pytest.StashKey["Counter[str]"]()
WITHOUT_MXNET = pytest.StashKey[int]()


def require(name: str) -> str:
    """The path of a program. Skips the test that asks where there is none; fails it where nothing may be missing."""
    path = find(name)
    return path or missing(name)


def missing(name: str) -> NoReturn:
    """Ends the test that asks for what is not there."""
    if os.environ.get("CI"):
        pytest.fail(f"{REASON.format(name)}: {target(name)} installs it", pytrace=False)
    pytest.skip(REASON.format(name))


def target(name: str) -> str:
    return "make test-deps" if name in PROGRAMS else "make test-peers"


def find(name: str) -> str | None:
    # nginx lies where only root looks.
    places = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin", "/usr/local/sbin"])
    found = (shutil.which(command, path=places) for command in {**PROGRAMS, **PEERS}[name].commands)
    return next(filter(None, found), None) or (playwrights_chromium() if name == "chromium" else None)


@functools.cache
def playwrights_chromium() -> str | None:
    """The Chromium that Playwright downloaded, where it is there and starts: both need libraries of the system."""
    from playwright.sync_api import sync_playwright

    try:
        with sync_playwright() as playwright:
            path = playwright.chromium.executable_path
    except Exception:  # Playwright's own server did not start; it has no other kind of error for that
        return None
    starts = Path(path).is_file() and subprocess.run([path, "--version"], capture_output=True).returncode == 0
    return path if starts else None


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    reasons = [str(report.longrepr) for report in terminalreporter.stats.get("skipped", ())]
    names = [found[1] for reason in reasons if (found := re.search(REASON.format(r"(\w+)"), reason))]
    terminalreporter.config.stash[MISSING] = Counter(names)
    terminalreporter.config.stash[WITHOUT_MXNET] = sum(NO_MXNET in reason for reason in reasons)


def pytest_unconfigure(config: pytest.Config) -> None:
    """After pytest's own last line: what was not tested for want of MXNet or of a program."""
    if number := config.stash.get(WITHOUT_MXNET, 0):
        reporter = config.pluginmanager.getplugin("terminalreporter")
        reporter.write_line(f"Tests skipped because {NO_MXNET}: {number}.")
    counted = config.stash.get(MISSING, None) or Counter()
    for installs in sorted({target(name) for name in counted}):
        of_target = sorted((name, number) for name, number in counted.items() if target(name) == installs)
        named = ", ".join(f"{name} ({number} skipped)" for name, number in of_target)
        reporter = config.pluginmanager.getplugin("terminalreporter")
        reporter.write_line(f"Tests skipped for want of a program: {named}. `{installs}` installs what is missing.")


def install() -> str | None:
    """Installs what is missing and says what it did. What is missing still, in one line, or None."""
    wanted = [name for name in PROGRAMS if find(name) is None]
    if not wanted:
        print("test-deps: nothing is missing")
        return None
    install_with_apt("test-deps", [package for name in wanted for package in PROGRAMS[name].packages])
    install_with_homebrew([name for name in wanted if name in FORMULAE and find(name) is None])
    if find("chromium") is None:
        print("test-deps: no Chromium from apt; playwright install chromium", flush=True)
        subprocess.run([sys.executable, "-m", "playwright", "install", "chromium"], check=False)
        playwrights_chromium.cache_clear()
    absent = [name for name in PROGRAMS if find(name) is None]
    print(f"test-deps: installed {', '.join(name for name in wanted if name not in absent) or 'nothing'}")
    return f"test-deps: still missing: {', '.join(absent)}" if absent else None


def install_with_apt(who: str, packages: Iterable[str]) -> None:
    """As root or through sudo, where there is apt; else nothing."""
    root = [] if os.geteuid() == 0 else ["sudo"]
    if all(shutil.which(command) for command in [*root, "apt-get"]):
        packages = list(packages)
        print(f"{who}: apt-get install {' '.join(packages)}", flush=True)
        apt = [*root, "env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "-qq"]
        quiet: dict[str, Any] = {"stdout": subprocess.DEVNULL, "check": False}
        subprocess.run([*apt, "update"], **quiet)
        subprocess.run([*apt, "install", "--yes", "--no-install-recommends", *packages], **quiet)


def install_with_homebrew(formulae: list[str]) -> None:
    """Where there is Homebrew, which refuses to be run as root; else nothing."""
    if formulae and shutil.which("brew") and os.geteuid() != 0:
        print(f"test-deps: brew install {' '.join(formulae)}", flush=True)
        subprocess.run(["brew", "install", "--quiet", *formulae], check=False)


if __name__ == "__main__":
    sys.exit(install())
