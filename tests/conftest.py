"""What all tests share: a saved model, the order of the files, the last line about missing programs."""

from __future__ import annotations

import gc
import ssl
from functools import cache
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from model import checkpoint as checkpoints
from tests.models import random_checkpoint
from tests.programs import pytest_terminal_summary, pytest_unconfigure

__all__ = ["pytest_terminal_summary", "pytest_unconfigure", "saved"]

# httpx reads the certificates of all authorities for each request that no client of its own makes: 20 ms each time.
ssl.create_default_context = cache(ssl.create_default_context)  # type: ignore[assignment]

# A test takes as long as the machine lets it: none fails for its time.
settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("untimed")

BEGIN_WITH = "test_readme.py"  # one long test: at the end it would run alone


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: item.path.name != BEGIN_WITH)


def pytest_sessionstart() -> None:
    gc.disable()  # until all tests are collected: what is imported for them is no garbage


def pytest_collection_finish() -> None:
    gc.freeze()
    gc.enable()


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    """The folder of a saved model with random weights."""
    folder = tmp_path / "tiny"
    checkpoints.save(folder, random_checkpoint(scale=3.0))
    return folder
