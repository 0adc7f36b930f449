from __future__ import annotations

import inspect
import logging
from typing import Any

import pytest

from app.scheduling.observer import Observer
from app.scheduling.quiet import quiet

NAMES = [name for name, _ in inspect.getmembers(Observer, inspect.isfunction)]


class Noting(Observer):
    """Notes what it is told, and raises where it should."""

    def __init__(self, *broken: str) -> None:
        self.told: list[tuple[Any, ...]] = []
        for name in NAMES:
            setattr(self, name, self._noting(name, name in broken))

    def _noting(self, name: str, broken: bool) -> Any:
        def note(*what: Any) -> None:
            self.told.append((name, *what))
            if broken:
                raise RuntimeError("broken for the test")

        return note


def arguments(name: str) -> list[int]:
    return list(range(1, len(inspect.signature(getattr(Observer, name)).parameters)))


def test_all_that_is_told_is_passed_on(caplog: pytest.LogCaptureFixture) -> None:
    noting = Noting()
    guarded = quiet(noting)
    for name in NAMES:
        getattr(guarded, name)(*arguments(name))
    assert noting.told == [(name, *arguments(name)) for name in NAMES]
    assert caplog.records == []


def test_of_each_method_that_raises_it_is_said_once_with_the_error(caplog: pytest.LogCaptureFixture) -> None:
    noting = Noting("tick", "queue")
    guarded = quiet(noting)
    for _ in range(3):
        guarded.tick(1, 2, 0.5)
        guarded.queue(1, 2)
        guarded.step_failed()
    assert len(noting.told) == 9
    assert [(record.name, record.levelno) for record in caplog.records] == [("app.scheduling.quiet", logging.ERROR)] * 2
    for record in caplog.records:
        assert record.exc_info is not None
        assert record.exc_info[0] is RuntimeError
    assert caplog.records[0].getMessage()
