"""An observer whose errors harm nobody: what it tells of is more than what it tells."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable
from typing import Any

from app.scheduling.observer import Observer

log = logging.getLogger(__name__)


def quiet(observer: Observer) -> Observer:
    """The same observer, but a method that raises is logged once and nothing else happens."""
    guarded = Observer()
    for name, _ in inspect.getmembers(Observer, inspect.isfunction):
        setattr(guarded, name, _quiet(getattr(observer, name)))
    return guarded


def _quiet(method: Callable[..., None]) -> Callable[..., None]:
    said = False

    def call(*what: Any) -> None:
        nonlocal said
        try:
            method(*what)
        except Exception:
            if not said:
                said = True
                log.exception("an observer failed; it is not said again")

    return call
