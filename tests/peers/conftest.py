"""Two services for all of these tests: one asks for a key, as one behind a proxy does; the other answers anybody."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.main import create_app
from app.settings import Settings
from tests.app.conftest import Server, models_dir
from tests.app.every_route import Example, examples

__all__ = ["models_dir"]

KEY = "a-key-for-tests-only"
WITH_KEY = {"X-API-Key": KEY}
HOST = "nextchar.test"  # what clients of the proxies call the service
MODELS_OF_OPENAI = ("gpt-3.5-turbo-instruct", "gpt-6-astra")  # what the tests of the openai package ask for


@pytest.fixture(scope="session")
def keyed(models_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("keyed")
    with Server(
        folder,
        models_dir,
        NEXTCHAR_API_KEYS=KEY,
        NEXTCHAR_ALLOWED_HOSTS=HOST,
        NEXTCHAR_MAX_NUM_CHARS="10000000",
        NEXTCHAR_MAX_ANSWER_MB="4096",
    ) as server:
        yield server


@pytest.fixture(scope="session")
def open_to_all(models_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("open")
    shutil.copytree(models_dir, folder / "models")
    for name in MODELS_OF_OPENAI:
        shutil.copytree(models_dir / "tiny", folder / "models" / name)
    with Server(folder, folder / "models") as server:
        yield server


def every_example() -> list[Example]:
    return list(examples(create_app(Settings())))
