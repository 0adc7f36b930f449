"""Functions of a module that has been imported, and how they take on changed code."""

from __future__ import annotations

import gc
import inspect
from collections.abc import Iterator
from pathlib import Path
from types import CodeType, FunctionType
from typing import Any


class Functions:
    """The functions of a module that has been imported, and how they take on changed code."""

    def __init__(self, path: Path) -> None:
        self._name, self._source = str(path), path.read_text("utf-8")
        self._there = self._found()

    def change(self, source: str) -> None:
        old, new = self._code(self._source), self._code(source)
        changed = dict(zip(map(_place, _functions(old)), _functions(new), strict=False))
        fresh: dict[int, FunctionType] = {}
        if _outside(old) != _outside(new):  # a default value, which was computed where the function was made
            exec(new, {"__name__": "mutant", "__file__": self._name})
            fresh = {id(function.__code__): function for function in self._found()}
        for function in self._there:
            code = changed.get(_place(function.__code__))
            if code is not None and code.co_freevars == function.__code__.co_freevars:
                function.__code__ = code
                if id(code) in fresh:
                    function.__defaults__ = fresh[id(code)].__defaults__
                    function.__kwdefaults__ = fresh[id(code)].__kwdefaults__

    def _code(self, source: str) -> CodeType:
        return compile(source, self._name, "exec", dont_inherit=True)

    def _found(self) -> list[FunctionType]:
        every = [thing for thing in gc.get_objects() if isinstance(thing, FunctionType)]
        return [function for function in every if function.__code__.co_filename == self._name]


def _place(code: CodeType) -> tuple[str, int]:
    return code.co_name, code.co_firstlineno


def _functions(code: CodeType) -> Iterator[CodeType]:
    """The code of each function and method in the order of the source. Those inside them go with them."""
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            if _is_class(constant):
                yield from _functions(constant)
            else:
                yield constant


def _outside(code: CodeType) -> list[Any]:
    """What is done outside functions."""
    inner = [constant for constant in code.co_consts if isinstance(constant, CodeType)]
    own = [constant for constant in code.co_consts if not isinstance(constant, CodeType)]
    return [code.co_code, repr(own), *(_outside(constant) for constant in inner if _is_class(constant))]


def _is_class(code: CodeType) -> bool:
    return not code.co_flags & inspect.CO_NEWLOCALS
