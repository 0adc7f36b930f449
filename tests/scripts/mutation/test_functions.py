from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from scripts.mutation.functions import Functions

pytestmark = pytest.mark.slow

SOURCE = """
import functools

def double(x, times=2):
    return x * times

@functools.cache
def cached(x):
    return x + 1

class Box:
    def __init__(self, value):
        self.value = value

    @property
    def size(self):
        return self.value + 1

    @staticmethod
    def name():
        return "box"

def outer(x):
    def inner(y):
        return x + y
    return inner

numbers = [n for n in range(3)]
shout = lambda text: text + "!"
"""


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    path = tmp_path / "changed_by_tests.py"
    path.write_text(SOURCE, "utf-8")
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    imported = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, path.stem, imported)
    spec.loader.exec_module(imported)
    return imported


CHANGES = [
    ("x * times", "x / times", lambda m: m.double(6), 12, 3),
    ("times=2", "times=3", lambda m: m.double(6), 12, 18),
    ("x + 1", "x - 1", lambda m: m.cached(5), 6, 4),
    ("self.value = value", "self.value = None", lambda m: m.Box(1).value, 1, None),
    ("self.value + 1", "self.value - 1", lambda m: m.Box(1).size, 2, 0),
    ('"box"', '"BOX"', lambda m: m.Box.name(), "box", "BOX"),
    ("x + y", "x - y", lambda m: m.outer(5)(2), 7, 3),
    ("def inner(y):\n        return x + y\n    return inner", "return None", lambda m: m.outer(5) is None, False, True),
    ('text + "!"', "text", lambda m: m.shout("a"), "a!", "a"),
]


@pytest.mark.parametrize(("old", "new", "call", "before", "after"), CHANGES, ids=[change[1][:20] for change in CHANGES])
def test_what_was_imported_does_what_the_changed_source_says(
    module: ModuleType, old: str, new: str, call: Any, before: object, after: object
) -> None:
    kept = {name: value for name, value in vars(module).items() if callable(value)}  # as other modules hold them
    functions = Functions(Path(str(module.__file__)))
    assert call(module) == before
    if hasattr(module.cached, "cache_clear"):
        module.cached.cache_clear()
    assert SOURCE.count(old) == 1
    functions.change(SOURCE.replace(old, new))
    assert call(module) == after
    assert all(vars(module)[name] is value for name, value in kept.items())
