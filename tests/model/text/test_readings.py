"""Every file of tests/texts is read as tests/texts/readings.json says, and docs/texts.md tells of each kind."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from model.errors import CorpusError
from model.text.corpus import read_corpus
from model.text.encoding import open_corpus
from model.text.rules import TextRules
from model.text.source import Source

TEXTS = Path(__file__).parents[2] / "texts"
READINGS: list[dict[str, Any]] = json.loads((TEXTS / "readings.json").read_text("utf-8"))
AS_IT_STANDS = TextRules(lowercase=False, newlines="keep")


@pytest.mark.parametrize("reading", READINGS, ids=[f"{r['file']}, {r['what']}" for r in READINGS])
def test_a_file_is_read_as_the_table_says(reading: dict[str, Any]) -> None:
    source = Source((str(TEXTS / reading["file"]),), **reading.get("options", {}))
    if "error" in reading:
        with pytest.raises(CorpusError) as error:
            open_corpus(source, AS_IT_STANDS)
        assert str(error.value).startswith(reading["file"])
        assert reading["error"] in str(error.value)
        assert "\n" not in str(error.value)
    else:
        read = open_corpus(source, AS_IT_STANDS)
        assert read.vocabulary.decode(read.indices) == reading["text"]
        assert read.sha256 == read_corpus(source, AS_IT_STANDS).sha256


def test_no_file_is_without_a_reading() -> None:
    there = {path.relative_to(TEXTS).parts[0] for path in TEXTS.rglob("*") if path.is_file()}
    assert there - {"readings.json", "README.md"} == {reading["file"] for reading in READINGS}


def test_the_documentation_names_each_file_once() -> None:
    page = (TEXTS.parents[1] / "docs" / "texts.md").read_text("utf-8")
    cells = [line.rstrip(" |").rpartition("|")[2] for line in page.splitlines() if line.startswith("|")]
    named = [name for cell in cells for name in re.findall(r"`([^`]+)`", cell)]
    assert sorted(named) == sorted({reading["file"] for reading in READINGS})
