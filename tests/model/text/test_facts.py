"""What is said to be in a text is in it, whether it is counted whole or by its beginning."""

from __future__ import annotations

import base64
from pathlib import Path
from random import Random

import numpy as np
import pytest

from model.text import encoding, facts
from model.text.corpus import Corpus
from model.text.encoding import EncodedCorpus, encode, open_corpus
from model.text.facts import PASSAGE, Facts, Lines, facts_of
from model.text.rules import TextRules
from model.text.source import Source

KEPT = TextRules(lowercase=False, newlines="keep")
PROSE = (
    "The ferry left at nine, and nobody on the quay had thought of waking the old man who kept its bell. He slept, "
    "as he had every morning since spring, with his boots beside the stove; when he woke, the water was empty and "
    "the gulls had gone after the boat. So he rang it for them.\n"
)


def encoded(text: str) -> EncodedCorpus:
    return encode(Corpus("text", text, "0" * 64), KEPT)


def of(text: str) -> Facts:
    return facts_of(encoded(text))


def drawn(length: int, characters: str, seed: int = 0) -> str:
    return "".join(Random(seed).choices(characters, k=length))


def test_characters_are_counted_and_the_rarest_named() -> None:
    found = of("aaabbc\n")
    assert (found.characters, found.distinct, found.once) == (7, 4, 2)
    assert found.rarest == (("\n", 1), ("c", 1), ("b", 2), ("a", 3))


def test_scripts_are_those_of_letters_by_how_often_they_stand() -> None:
    assert of("123, …! 🙂").scripts == ()
    assert of("abc дом 12").scripts == (("Latin", 0.5), ("Cyrillic", 0.5))
    assert of("かな漢字カー").scripts == (("Hiragana", 0.4), ("Han", 0.4), ("Katakana", 0.2))  # ー is of several
    assert of("สวัสดี").scripts == (("Thai", 1.0),)  # its marks too
    assert of("ᚠᚢ").scripts == ((facts.OTHER, 1.0),)


def test_lines_are_counted_whether_the_last_one_ends_or_not() -> None:
    for text in ("ab\n\nabcd\nab\n", "ab\n\nabcd\nab"):
        found = of(text)
        assert found.num_lines == 4
        assert found.lines == Lines(median=2, longest=4, repeated=1 - 2 / 3)
    assert (of("abab").num_lines, of("abab").lines) == (0, None)
    assert of("\n\n \n").lines is None


@pytest.mark.parametrize("passage", [PASSAGE, PASSAGE + 5])
def test_passages_that_stand_twice_are_found_to_the_character(passage: int) -> None:
    again = "".join(chr(0x4E00 + i) for i in range(passage))
    between = "".join(chr(0x3400 + i) for i in range(40))
    text = again + between + again + "。"
    assert of(text).repeated == pytest.approx(2 * passage / len(text))
    assert of(text.replace(again[10], "x", 1)).repeated == 0


def test_what_has_no_passage_at_all_repeats_none() -> None:
    assert of("a" * PASSAGE).repeated == 0
    assert of("a" * (PASSAGE + 1)).repeated == 1
    assert of(PROSE).repeated == 0


def test_prose_foretells_and_random_text_does_not() -> None:
    random = base64.b64encode(Random(1).randbytes(3000)).decode()
    foretold = of(random).foretold
    assert foretold is not None
    assert abs(foretold) < 0.02
    prose = of("".join(Random(0).sample(PROSE.split(), 40)) * 8 + PROSE * 4).foretold
    assert prose is not None
    assert prose > 0.15
    assert of("ab" * 1000).foretold == pytest.approx(1, abs=0.01)


def test_of_few_characters_or_of_seldom_ones_nothing_is_said_about_pairs() -> None:
    assert of(drawn(999, "abcd")).foretold is None
    assert of(drawn(1000, "abcd")).foretold is not None
    assert of(drawn(2000, "".join(chr(0x4E00 + i) for i in range(150)))).foretold is None


def test_a_long_text_is_counted_whole_and_looked_at_where_it_begins(monkeypatch: pytest.MonkeyPatch) -> None:
    text = PROSE + "x\n" * 500
    monkeypatch.setattr(facts, "EXAMINED", len(PROSE))
    monkeypatch.setattr(facts, "_CHUNK", 7)
    found, beginning = of(text), of(PROSE)
    assert (found.characters, found.num_lines, found.examined) == (len(text), 501, len(PROSE))
    assert dict(found.rarest)["T"] == 1
    assert (found.lines, found.repeated) == (beginning.lines, beginning.repeated)


def test_a_text_whose_indices_lie_on_disk_has_the_same_facts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encoding, "LARGE_BYTES", 1)
    file = tmp_path / "text.txt"
    file.write_text(PROSE * 5, encoding="utf-8")
    on_disk = open_corpus(Source((str(file),)), KEPT, tmp_path)
    assert isinstance(on_disk.indices, np.memmap)
    assert facts_of(on_disk) == of(PROSE * 5)
