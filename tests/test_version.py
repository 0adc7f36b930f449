"""The version stands in pyproject.toml; whatever else says it says the same."""

from __future__ import annotations

import re
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest
import yaml
from setuptools import Distribution
from typer.testing import CliRunner

from app.main import create_app
from app.settings import Settings
from model.text.corpus import Corpus
from model.text.encoding import encode
from model.text.rules import TextRules
from model.training import Trainer, TrainingOptions
from model.training.report.record import training_record
from nextchar import __main__ as commands
from tests.image.dockerfile import read

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def projects() -> str:
    distribution = Distribution()
    distribution.parse_config_files([ROOT / "pyproject.toml"])
    return str(distribution.metadata.version)


def test_what_is_installed_has_the_projects_version(projects: str) -> None:
    assert version("nextchar") == projects, "install the project anew: make install"


def test_the_command_says_it_and_loads_nothing_for_that(projects: str) -> None:
    program = """
import sys
from nextchar.__main__ import program
try:
    program(["--version"])
finally:
    print([name for name in sys.modules if name.split(".")[0] in ("app", "model", "numpy")])
"""
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == f"nextchar {projects}\n[]\n"


def test_where_nothing_is_installed_the_command_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(commands, "NAME", "there-is-none")
    result = CliRunner().invoke(commands.program, ["--version"])
    assert (result.exit_code, result.output) == (0, "nextchar, of unknown version: it is not installed\n")


def test_the_document_of_the_service_has_it(projects: str, tmp_path: Path) -> None:
    assert create_app(Settings(models_dir=tmp_path)).openapi()["info"]["version"] == projects


def test_the_record_of_a_model_has_it(projects: str) -> None:
    corpus = encode(Corpus("words", "a few words, read and forgotten. " * 10, "0" * 64), TextRules())
    record = training_record(Trainer(corpus, TrainingOptions(hidden_dim=4, num_steps=8, batch_size=2, backend="cpu")))
    assert record["versions"]["nextchar"] == projects


def test_the_images_tags_and_labels_have_it(projects: str) -> None:
    services = yaml.safe_load((ROOT / "docker-compose.yml").read_text("utf-8"))["services"]
    images = [about["image"] for name, about in services.items() if name.startswith("nextchar")]
    assert [image.split("-")[0] for image in images] == [f"nextchar:{projects}"] * 2
    dockerfile = read()
    assert dockerfile.arguments["VERSION"] == projects
    assert "VERSION" in dockerfile.stages[-1].values("ARG")
    assert 'org.opencontainers.image.version="$VERSION"' in " ".join(dockerfile.stages[-1].values("LABEL"))


def test_the_image_trains_its_model_where_the_version_is_known(projects: str, tmp_path: Path) -> None:
    """The stage has the two folders and no package, so it has metadata of its own for the model's record."""
    training = read().stage("training")
    assert "VERSION" in training.values("ARG")
    command = next(run for run in training.values("RUN") if "METADATA" in run)
    subprocess.run(["sh", "-ec", command], cwd=tmp_path, env={"VERSION": "7.6.5", "PATH": "/usr/bin:/bin"}, check=True)
    program = "from importlib.metadata import version; print(version('nextchar'))"
    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout == "7.6.5\n"


def test_a_change_of_the_version_names_the_places_that_hold_it(projects: str) -> None:
    """Those that cannot read it are held to it above; in all others it would be forgotten."""
    written = re.compile(rf"nextchar\W{{1,3}}v?{re.escape(projects)}\b|\bversion\W{{1,4}}{re.escape(projects)}\b", re.I)
    files = [path for d in ("app", "model", "nextchar", "scripts", "deploy") for path in (ROOT / d).rglob("*")]
    files += [*ROOT.glob("docs/*.md"), *ROOT.glob("*")]
    texts = {".py", ".md", ".yml", ".toml", ".conf", ".html", ".js", ".service", ".json", ""}
    found = {
        str(path.relative_to(ROOT))
        for path in files
        if path.is_file() and path.suffix in texts and written.search(path.read_text("utf-8", errors="replace"))
    }
    assert found - {"CHANGELOG.md"} == {"Dockerfile", "docker-compose.yml", "pyproject.toml"}
