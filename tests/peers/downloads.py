"""What is asked of npm and PyPI for these tests: brought into .peers, which git ignores, as the locks say.

`python -m tests.peers.downloads` (`make test-peers`) brings what is missing or was locked anew, and installs the
programs of `tests.programs.PEERS`. A test that asks for what could not be brought is skipped; where `CI` is set it
fails.
"""

from __future__ import annotations

import hashlib
import re
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from tests import programs

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
FOLDER = ROOT / ".peers"
STAMP = ".brought"  # in the folder of each download: what it was made from
REQUIREMENTS = ROOT / "requirements" / "peers.txt"
OF_CLIENTS = ROOT / "tests" / "clients" / "generated"
CLIENT_REQUIREMENTS = ROOT / "requirements" / "clients.txt"


@dataclass(frozen=True)
class Download:
    bring: Callable[[Path], None]  # into an empty folder
    locks: tuple[Path, ...]
    is_asked: str  # a path in the folder


def bring_node_modules(locks: tuple[Path, ...], folder: Path) -> None:
    for lock in locks:
        shutil.copy(lock, folder)
    npm = programs.find("npm") or "npm"
    _run(npm, "ci", "--ignore-scripts", "--omit=optional", "--no-audit", "--no-fund", "--loglevel=error", cwd=folder)


def bring_python(requirements: Path, folder: Path) -> None:
    """An environment of its own: the tests of the openai package want another pytest plugin than ours, and a generator
    another Typer."""
    _run(sys.executable, "-m", "venv", str(folder), cwd=ROOT)
    _run(*_pip(str(folder / "bin" / "python"), "install"), "-r", str(requirements), cwd=ROOT)


def bring_openai_tests(folder: Path) -> None:
    """The source distribution of the openai package that is installed: it alone has the tests."""
    found = re.search(r"^openai==.*(?:\\\n.*)+", REQUIREMENTS.read_text("utf-8"), re.MULTILINE)
    assert found is not None, f"{REQUIREMENTS} names no openai"
    (folder / "openai.txt").write_text(found[0].rstrip("\\\n ") + "\n", "utf-8")
    source = ["--no-deps", "--no-binary", "openai", "-r", "openai.txt"]
    _run(*_pip(sys.executable, "download"), *source, cwd=folder)
    (archive,) = folder.glob("openai-*.tar.gz")
    with tarfile.open(archive) as files:
        files.extractall(folder, filter="data")
    (folder / archive.name.removesuffix(".tar.gz")).rename(folder / "source")


def of_npm(folder: Path, is_asked: str) -> Download:
    locks = (folder / "package.json", folder / "package-lock.json")
    return Download(partial(bring_node_modules, locks), locks, is_asked)


def of_pypi(requirements: Path) -> Download:
    return Download(partial(bring_python, requirements), (requirements,), "bin/python")


DOWNLOADS = {
    "prism": of_npm(HERE, "node_modules/@stoplight/prism-cli/dist/index.js"),
    "redbot": of_pypi(REQUIREMENTS),
    "openai_tests": Download(bring_openai_tests, (REQUIREMENTS,), "source"),
    "python_generators": of_pypi(CLIENT_REQUIREMENTS),
    "node_generators": of_npm(OF_CLIENTS, "node_modules"),
}


def require(name: str) -> Path:
    """Where a download lies. Skips the test that asks where it does not; fails it where nothing may be missing."""
    return find(name) or programs.missing(name)


def find(name: str) -> Path | None:
    download = DOWNLOADS[name]
    folder = FOLDER / name
    stamp = folder / STAMP
    asked = folder / download.is_asked
    is_current = stamp.is_file() and stamp.read_text("utf-8") == _made_from(download)
    return asked if is_current and asked.exists() else None


def bring_all() -> str | None:
    """What is missing still, in one line, or None. The tests that do not need it run all the same."""
    wanted = [name for name in programs.PEERS if programs.find(name) is None]
    if wanted:
        programs.install_with_apt("test-peers", [p for name in wanted for p in programs.PEERS[name].packages])
    for name in DOWNLOADS:
        if find(name) is None:
            print(f"test-peers: bringing {name}", flush=True)
            _bring(name)
    absent = [name for name in programs.PEERS if programs.find(name) is None]
    absent += [name for name in DOWNLOADS if find(name) is None]
    return f"test-peers: missing: {', '.join(absent)}" if absent else None


def _bring(name: str) -> None:
    folder = FOLDER / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    try:
        DOWNLOADS[name].bring(folder)
    except (OSError, subprocess.CalledProcessError) as error:
        print(f"test-peers: no {name}: {error}", flush=True)
    else:
        (folder / STAMP).write_text(_made_from(DOWNLOADS[name]), "utf-8")


def _made_from(download: Download) -> str:
    digest = hashlib.sha256(sys.version.encode())
    for lock in download.locks:
        digest.update(lock.read_bytes())
    return digest.hexdigest()


def _pip(python: str, command: str) -> list[str]:
    return [python, "-m", "pip", command, "--quiet", "--disable-pip-version-check", "--require-hashes"]


def _run(*command: str, cwd: Path) -> None:
    subprocess.run(command, cwd=cwd, check=True)


if __name__ == "__main__":
    print(bring_all() or "test-peers: nothing is missing")
