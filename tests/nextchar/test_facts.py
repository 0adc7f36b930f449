"""What people are told of a text before it is trained on."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console
from typer.testing import CliRunner

from model.text.corpus import Corpus
from model.text.encoding import EncodedCorpus, encode
from model.text.rules import TextRules
from model.text.source import Reading
from nextchar import train
from nextchar.facts import folded, tell, visible

pytestmark = pytest.mark.usefixtures("no_picture")

KEPT = TextRules(lowercase=False, newlines="keep")
POEM = (
    "The fog comes in\nand sits on the wall,\nThe fog comes in\nand says nothing at all.\n"
    "Who left the gate open?\nNobody did.\n"
)
HAN = "".join(map(chr, range(0x4E00, 0x4E0C)))


def corpus(text: str, reading: Reading | None = None, name: str = "poem.txt") -> EncodedCorpus:
    return replace(encode(Corpus(name, text, "0" * 64), KEPT), reading=reading or Reading())


def told(about: EncodedCorpus, held_out: int = 0, epoch_s: float | None = None) -> list[str]:
    written = io.StringIO()
    console = Console(file=written, highlight=False, markup=False, emoji=False, soft_wrap=True)
    tell(console, about, len(about.indices) - held_out, held_out, epoch_s)
    return written.getvalue().splitlines()


def test_a_text_is_told_in_a_few_lines_of_80_columns() -> None:
    lines = told(corpus(POEM, Reading(opening=POEM[:60])), held_out=12, epoch_s=0.42)
    assert lines == [
        r"begins: The fog comes in\nand sits on the wall,\nThe fog comes in\nand …",
        "117 characters, 26 distinct; 7 stand once: , ? N W b p w",
        "letters: Latin",
        "6 lines: half have up to 18 characters, the longest 24; 17% are repeats",
        "105 of 117 are trained on, 12 are held out",
        "an epoch takes about 0.4 s",
    ]
    assert max(map(len, lines)) <= 80


def test_what_reading_found_is_told() -> None:
    reading = Reading(
        documents=("a.txt", "b.txt", "c.txt", "d.txt", "e\x1b.txt"),
        left_out=(("cat.png", "is a picture"), ("x\x1b.bin", "is no text"), ("empty.txt", "is empty"), ("y", "")),
        encoding="gb18030", opening="\ufeff分开\r\n\x1b[2J", marks=1, replaced=2, line_ends=3000, capitals=1204,
    )  # fmt: skip
    assert told(corpus(POEM, reading))[:8] == [
        "begins: \ufeff分开\\r\\n\\u001b[2J…",
        "5 documents: a.txt, b.txt, c.txt and 2 more",
        "left out: cat.png (is a picture)",
        "left out: x\\u001b.bin (is no text)",
        "left out: empty.txt (is empty)",
        "left out: 1 more",
        "read as gb18030; 1 byte order mark inside dropped; 2 bytes not gb18030, replaced by \N{REPLACEMENT CHARACTER}",
        "3,000 line ends and 1,204 capitals were folded (--keep-newlines, --keep-case keep them)",
    ]


def test_what_is_as_usual_is_not_told() -> None:
    lines = told(corpus(POEM, Reading(documents=("poem.txt",), encoding="UTF-8")))
    assert [line.split(" ")[0] for line in lines] == ["begins:", "117", "letters:", "6", "all"]
    assert lines[-1] == "all of it is trained on, nothing is held out"


def test_characters_may_be_in_neither_part() -> None:
    written = io.StringIO()
    tell(Console(file=written), corpus(POEM), 80, 20)
    assert written.getvalue().splitlines()[-1] == "80 of 117 are trained on, 20 are held out, 17 between them left out"


@pytest.mark.parametrize(
    ("line_ends", "capitals", "sentence"),
    [
        (0, 0, ""),
        (3000, 1204, "3,000 line ends and 1,204 capitals were folded (--keep-newlines, --keep-case keep them)"),
        (3000, 0, "3,000 line ends were folded (--keep-newlines keeps them)"),
        (0, 2, "2 capitals were folded (--keep-case keeps them)"),
        (1, 0, "1 line end was folded (--keep-newlines keeps it)"),
        (1, 1, "1 line end and 1 capital were folded (--keep-newlines, --keep-case keep them)"),
    ],
)
def test_what_the_rules_did_is_one_sentence(line_ends: int, capitals: int, sentence: str) -> None:
    assert folded(Reading(line_ends=line_ends, capitals=capitals)) == sentence


def test_an_opening_that_reading_did_not_keep_is_that_of_the_text() -> None:
    assert told(corpus("ab\n" * 40))[0] == "begins: " + "ab\\n" * 20 + "…"
    assert told(corpus("ab\n"))[0] == "begins: ab\\n"


def test_line_ends_and_tabs_are_seen_and_a_terminal_obeys_nothing() -> None:
    assert visible("a\r\n\tb\x07\x9b") == "a\\r\\n\\tb\\u0007\\u009b"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("abc", "3 characters, 3 distinct, each stands once"),
        ("aabb", "4 characters, 2 distinct, each at least 2 times"),
        ("a\na", "3 characters, 2 distinct; 1 stands once: U+000A"),
        ("aa\u0301\u0301x\u0302", "6 characters, 4 distinct; 2 stand once: x U+0302"),
        ("aa" + HAN, "14 characters, 13 distinct; 12 stand once: 一 丁 丂 七 丄 丅 丆 万 …"),
    ],
)  # fmt: skip
def test_the_rarest_characters_are_named_as_a_person_can_tell_them(text: str, words: str) -> None:
    assert told(corpus(text))[1] == words


def test_scripts_have_their_shares_and_few_are_named() -> None:
    assert "letters: Cyrillic 75%, Latin 25%" in told(corpus("дом a дом b"))
    many = "letters: Latin 50%, Greek 12%, Cyrillic 12%, Thai 12% and 1 more"
    assert many in told(corpus("abcdдλ分ก"))
    assert "letters: Latin 100%, Han less than 1%" in told(corpus("a" * 1000 + "分"))


@pytest.mark.parametrize(
    ("seconds", "words"), [(0.04, "0.0 s"), (9.9, "9.9 s"), (12.3, "12 s"), (300, "5 min"), (9000, "2.5 h")]
)
def test_a_duration_is_as_exact_as_a_guess_can_be(seconds: float, words: str) -> None:
    assert told(corpus(POEM), epoch_s=seconds)[-1] == f"an epoch takes about {words}"


def test_doubts_stand_last_with_the_name_of_the_text() -> None:
    assert told(corpus("一丁丂七"))[-1] == "poem.txt: no character stands twice: what follows what cannot be learned"


def test_passages_that_stand_twice_are_told_by_their_share() -> None:
    half = POEM[:60] + "".join(map(chr, range(0x3400, 0x3400 + 120))) + POEM[:60]
    assert "50% of it is repeated passages (32 characters or more)" in told(corpus(half))


def test_of_a_long_text_it_is_said_what_was_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("model.text.facts.EXAMINED", 50)
    assert "(lengths and repeats are of the first 50 characters)" in told(corpus(POEM))


def test_training_tells_before_it_begins_and_refuses_what_has_nothing_to_learn(tmp_path: Path) -> None:
    (tmp_path / "poem.txt").write_text(POEM)
    (tmp_path / "a.txt").write_text("a" * 1000)

    def trained(name: str) -> tuple[int, list[str]]:
        small = ["--preset=chapter", "--hidden-dim=2", "--num-steps=5", "--batch-size=2", "--steps=1", "--pred-len=1"]
        arguments = ["--corpus", str(tmp_path / name), "--out", str(tmp_path / name[0]), "--validation-fraction=0.1"]
        result = CliRunner().invoke(train.program, [*small, *arguments])
        return result.exit_code, result.output.splitlines()

    code, lines = trained("poem.txt")
    assert code == 0
    assert lines[1] == "6 line ends were folded (--keep-newlines keeps them)"
    assert lines[2].startswith("117 characters, 25 distinct; ")
    assert lines[4].startswith("105 of 117 are trained on, ")
    code, lines = trained("a.txt")
    assert (code, lines) == (1, ["a.txt: holds nothing but 'a' (U+0061), 1,000 times: there is nothing to learn"])
