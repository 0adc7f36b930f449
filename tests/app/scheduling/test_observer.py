"""The observer that does nothing and the one that counts are told the same things."""

from __future__ import annotations

import inspect
from typing import Any

from app.operation.metrics import Metrics, ModelMetrics
from app.scheduling.observer import Observer

TOLD = {name: call for name, call in vars(Observer).items() if not name.startswith("_")}


def test_all_that_is_told_is_counted_under_the_same_names_and_types() -> None:
    for name, call in TOLD.items():
        own = vars(ModelMetrics)[name]
        assert inspect.signature(own) == inspect.signature(call), name


def test_being_told_anything_in_any_order_raises_nothing() -> None:
    example: dict[str, Any] = {"Mapping[str, str]": {}, "int": 1, "float": 0.5, "str": "failed", "int | None": None}
    for observer in (Observer(), ModelMetrics(Metrics(), "tiny")):
        for name in [*sorted(TOLD), *sorted(TOLD, reverse=True)]:
            parameters = list(inspect.signature(TOLD[name]).parameters.values())[1:]
            assert getattr(observer, name)(*(example[p.annotation] for p in parameters)) is None
