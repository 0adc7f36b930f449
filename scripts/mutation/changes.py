"""What can be changed in a module, by mutmut's operators."""

from __future__ import annotations

import difflib
import warnings
from collections.abc import Iterator
from pathlib import Path

import libcst as cst
from libcst.metadata import MetadataWrapper
from mutmut.mutation.file_mutation import MutationVisitor, deep_replace
from mutmut.mutation.mutators import mutation_operators
from mutmut.mutation.pragma_handling import get_ignored_lines

from scripts.mutation.running import Mutant

COMPILED = ("compiled", "kept", "overload", "intrinsic")  # decorators after which a function is machine code


class Visitor(MutationVisitor):  # type: ignore[misc]
    """mutmut's, which leaves out decorated functions: its own way to choose a mutant at run time cannot have them."""

    with_compiled = False

    def _skip_node_and_children(self, node: cst.CSTNode) -> bool:
        skips: bool = super()._skip_node_and_children(node)
        if not isinstance(node, cst.FunctionDef) or not node.decorators or node.name.value in self.ignored_functions:
            return skips
        return not self.with_compiled and any(name in COMPILED for name in map(_last_name, node.decorators))


def _last_name(decorator: cst.Decorator) -> str:
    called = decorator.decorator
    while isinstance(called, cst.Call | cst.Attribute):
        called = called.func if isinstance(called, cst.Call) else called.attr
    return called.value if isinstance(called, cst.Name) else ""


def mutants(root: Path, name: str, with_compiled: bool) -> Iterator[Mutant]:
    """Every change of the module `name` under `root` inside a function or method, those for Numba included or not."""
    code = (root / name).read_text("utf-8")
    wrapper = MetadataWrapper(cst.parse_module(code))
    visitor = Visitor(mutation_operators, get_ignored_lines(name, code, wrapper))
    visitor.with_compiled = with_compiled
    module = wrapper.visit(visitor)
    for mutation in visitor.mutations:
        if isinstance(mutation.contained_by_top_level_function, cst.FunctionDef):
            source = deep_replace(module, mutation.original_node, mutation.mutated_node).code
            if _compiles(source):
                lines = difflib.unified_diff(code.splitlines(), source.splitlines(), name, name, n=1, lineterm="")
                yield Mutant(source, "\n".join(lines) + "\n")


def _compiles(source: str) -> bool:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            compile(source, "mutant", "exec")
        except SyntaxError:
            return False
    return True
