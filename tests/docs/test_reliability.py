"""docs/reliability.md: each promise names a test, and each test that it names is there."""

from __future__ import annotations

import ast
import re
from functools import cache

import pytest

from tests.app.conftest import ROOT

LINES = (ROOT / "docs" / "reliability.md").read_text("utf-8").splitlines()
ROWS = [line for line in LINES if line.startswith("|") and not line.startswith(("| what happens", "|---"))]
NAMED = re.compile(r"`(tests/[\w/]+\.py)::(test_\w+)`")
MARKED = re.compile(r"`(tests/[^`]*)`")


@cache
def names_of(file: str) -> frozenset[str]:
    """The tests of a module, as pytest finds them there: functions of it that begin with test_."""
    tree = ast.parse((ROOT / file).read_text("utf-8"))
    return frozenset(node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))


@pytest.mark.parametrize("row", ROWS, ids=lambda row: str(row).split("|")[1].strip())
def test_each_row_names_tests_that_exist(row: str) -> None:
    _, what, seen, held_by, after = row.split("|")
    assert what.strip()
    assert seen.strip()
    assert not after
    assert NAMED.search(held_by), "no test is named"
    assert not NAMED.sub("", held_by).replace("<br>", "").strip(), "something else than tests stands there"
    for file, name in NAMED.findall(held_by):
        assert name in names_of(file), f"{file} has no {name}"


def test_nothing_on_the_page_looks_like_a_test_and_is_none() -> None:
    text = "\n".join(LINES)
    assert len(ROWS) > 40
    assert [f"{file}::{name}" for file, name in NAMED.findall(text)] == MARKED.findall(text)
    assert NAMED.findall(text) == [test for row in ROWS for test in NAMED.findall(row)]


def test_a_test_that_is_gone_is_noticed() -> None:
    assert "test_a_client_that_leaves_frees_its_row" in names_of("tests/app/test_server.py")
    assert "test_that_never_was" not in names_of("tests/app/test_server.py")
