"""Makes clients from an OpenAPI document, checks their types together with a script of ours, and runs that script."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.peers import downloads
from tests.programs import require

HERE = Path(__file__).parent
ROOT = HERE.parent.parent.parent
AT_MOST_S = 600  # a machine may have other work


@dataclass(frozen=True)
class Generator:
    make: Callable[[Path, Path], None]  # of a document, into an empty folder
    check: Callable[[Path], str]  # what the type checker says against it; nothing where all is well
    command: Callable[[Path], list[str]]  # what asks through the client; wants an address and a key besides


def openapi_python_client(document: Path, folder: Path) -> None:
    program = _python().with_name("openapi-python-client")
    run(program, "generate", "--path", document, "--output-path", folder / "client", "--fail-on-warning")


def openapi_generator(language: str) -> Callable[[Path, Path], None]:
    def make(document: Path, folder: Path) -> None:
        require("java")
        program = _python().with_name("openapi-generator-cli")
        run(program, "generate", "-i", document, "-g", language, "-o", folder / "client")

    return make


def openapi_typescript(document: Path, folder: Path) -> None:
    run(*_node("openapi-typescript/bin/cli.js"), document, "-o", folder / "client.d.ts")


def redocly(document: Path) -> str:
    """What it has to say, as JSON."""
    command = [*_node("@redocly/cli/bin/cli.js"), "lint", str(document), "--extends=recommended", "--format=json"]
    return run(*command, check=False, REDOCLY_TELEMETRY="off", REDOCLY_SUPPRESS_UPDATE_NOTICE="true").stdout


def python_types(package: str, script: str, *options: str) -> Callable[[Path], str]:
    """The package and our script together, as strictly as the package says of itself, or as the options say."""

    def check(folder: Path) -> str:
        client = folder / "client"
        mypy = [sys.executable, "-m", "mypy", "--python-executable", str(_python()), *options]
        cache = ["--cache-dir", str(folder.parent / f"mypy-{package}")]
        paths = f"{client}{os.pathsep}{ROOT}"
        done = run(*mypy, *cache, package, HERE / f"{script}.py", cwd=client, check=False, MYPYPATH=paths)
        return done.stdout + done.stderr if done.returncode else ""

    return check


def python_command(script: str) -> Callable[[Path], list[str]]:
    def command(folder: Path) -> list[str]:
        paths = f"PYTHONPATH={folder / 'client'}{os.pathsep}{ROOT}"
        return ["env", paths, str(_python()), "-m", f"tests.clients.generated.{script}"]

    return command


def typescript_types(script: str) -> Callable[[Path], str]:
    """Strictly, our script and the client together; leaves what Node.js runs in `out`."""

    def check(folder: Path) -> str:
        for name in (f"{script}.ts", "events.ts"):
            shutil.copy(HERE / name, folder)
        modules = downloads.require("node_generators")
        (folder / "node_modules").symlink_to(modules, target_is_directory=True)
        options = ["--strict", "--target", "es2022", "--module", "nodenext", "--lib", "es2022,dom,dom.iterable"]
        done = run(*_node("typescript/bin/tsc"), *options, "--outDir", "out", f"{script}.ts", cwd=folder, check=False)
        return done.stdout + done.stderr if done.returncode else ""

    return check


def typescript_command(script: str) -> Callable[[Path], list[str]]:
    return lambda folder: [require("node"), str(folder / "out" / f"{script}.js")]


def run(
    *command: str | Path, cwd: Path | None = None, check: bool = True, **environment: str
) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        env={**without_ours(), **environment},
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=AT_MOST_S,
    )
    assert done.returncode == 0 or not check, done.stdout + done.stderr
    return done


def without_ours() -> dict[str, str]:
    """The environment without what is about this project, and with the commands of the generators."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHONPATH", "NEXTCHAR_"))}
    return {**kept, "PATH": os.pathsep.join([str(_python().parent), kept.get("PATH", os.defpath)])}


def _python() -> Path:
    return downloads.require("python_generators")


def _node(program: str) -> list[str]:
    return [require("node"), str(downloads.require("node_generators") / program)]


GENERATORS = {
    "openapi-python-client": Generator(
        openapi_python_client,
        python_types("nextchar_client", "ask_with_openapi_python_client", "--config-file=", "--strict"),
        python_command("ask_with_openapi_python_client"),
    ),
    "openapi-generator python": Generator(
        openapi_generator("python"),
        python_types("openapi_client", "ask_with_openapi_generator"),
        python_command("ask_with_openapi_generator"),
    ),
    "openapi-generator typescript-fetch": Generator(
        openapi_generator("typescript-fetch"),
        typescript_types("ask_with_typescript_fetch"),
        typescript_command("ask_with_typescript_fetch"),
    ),
    "openapi-typescript": Generator(
        openapi_typescript,
        typescript_types("ask_with_openapi_fetch"),
        typescript_command("ask_with_openapi_fetch"),
    ),
}
