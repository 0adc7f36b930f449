"""The pages that say what others may rely on, and their tables and examples as lists."""

from __future__ import annotations

import re
from pathlib import Path

from model.sampling.options import MAX_SEED

ROOT = Path(__file__).parent.parent.parent
HTTP, FORMATS, LIBRARY = [(ROOT / "docs" / f"{name}.md").read_text("utf-8") for name in ("http", "formats", "library")]


def plain(cell: str) -> str:
    """Without the marks of code around all of it."""
    return re.sub("^`([^`]*)`$", r"\1", cell.strip())


def table(document: str, first: str) -> list[list[str]]:
    """The cells of the one table whose first column has this title."""
    (found,) = re.findall(rf"^\| {re.escape(first)} \|.*\n\|[-|]+\|\n((?:\|.*\n)+)", document, re.M)
    return [[plain(cell) for cell in line[1:-1].split("|")] for line in found.splitlines()]


def names(document: str, first: str) -> list[str]:
    return sorted(row[0] for row in table(document, first))


def blocks(document: str, kind: str = r"\w+") -> list[tuple[str, str]]:
    """Kind and content of the examples."""
    return re.findall(rf"^```({kind})\n(.*?)^```$", document, re.M | re.S)


def number(value: float) -> str:
    return "2^63 − 1" if value == MAX_SEED else f"{value:.10g}"
