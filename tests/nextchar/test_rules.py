"""Which rules a text is read by: one's own text stays as it is, the embedded one and the chapter's preset fold."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from model.text.encoding import EncodedCorpus
from model.text.rules import TextRules
from model.training import TrainingOptions
from nextchar import train
from nextchar.rules import rules_for

KEPT = TextRules(lowercase=False, newlines="keep")
FOLDED = TextRules(lowercase=True, newlines="space")
CHAPTER = TextRules(lowercase=False, newlines="space")
# Texts in which a capital or a line end has a meaning of its own.
OWN_TEXTS = {
    "molecules.smi": "CC(=O)Oc1ccccc1C(=O)O\nc1ccccc1\nCN1C=NC2=C1C(=O)N(C)C(=O)N2C\n",
    "games.pgn": "1. Nf3 Nf6 2. c4 g6 3. Nc3 Bg7\n1. b3 e5 2. Bb2 Nc6\n",
    "program.py": "class Point:\n    X = 1\n    x = 2\n\ndef f():\n    return Point.X\n",
    "names.txt": "Anna\nBerta\nÇiğdem\nİpek\n",
}


class Read(Exception):  # noqa: N818 - it is no error
    pass


@pytest.fixture
def ends_once_it_has_read(monkeypatch: pytest.MonkeyPatch) -> None:
    def trainer(encoded: EncodedCorpus, _options: TrainingOptions) -> None:
        raise Read(encoded)

    monkeypatch.setattr(train, "Trainer", trainer)


def read(out: Path, *arguments: str) -> EncodedCorpus:
    result = CliRunner().invoke(train.program, ["--out", str(out / "m"), *arguments])
    assert isinstance(result.exception, Read), result.output
    (found,) = result.exception.args
    assert isinstance(found, EncodedCorpus)
    return found


@pytest.mark.usefixtures("ends_once_it_has_read")
@pytest.mark.parametrize("name", OWN_TEXTS)
@pytest.mark.parametrize("preset", [(), ("--preset=quick",), ("--preset=best",)])
def test_a_text_of_ones_own_is_trained_on_as_it_stands(name: str, preset: tuple[str, ...], tmp_path: Path) -> None:
    (tmp_path / name).write_text(OWN_TEXTS[name], encoding="utf-8")
    corpus = read(tmp_path, "--corpus", str(tmp_path / name), *preset)
    assert corpus.rules == KEPT
    assert corpus.vocabulary.decode(corpus.indices) == OWN_TEXTS[name]


@pytest.mark.usefixtures("ends_once_it_has_read")
def test_the_embedded_text_is_folded_as_before_and_options_win(tmp_path: Path) -> None:
    assert read(tmp_path).rules == FOLDED
    assert read(tmp_path, "--keep-case", "--keep-newlines").rules == KEPT
    file = tmp_path / "names.txt"
    file.write_text("Anna\nBerta\n")
    assert read(tmp_path, "--corpus", str(file), "--no-keep-case", "--no-keep-newlines").rules == FOLDED


@pytest.mark.parametrize(
    ("corpora", "preset", "wanted"),
    [
        (["lyrics"], None, FOLDED),
        (["lyrics"], "quick", FOLDED),
        (["lyrics"], "chapter", CHAPTER),
        (["mine.txt"], None, KEPT),
        (["mine.txt"], "best", KEPT),
        (["mine.txt"], "chapter", CHAPTER),
        (["./lyrics"], None, KEPT),  # a file of that name
        (["lyrics", "mine.txt"], None, KEPT),
        (["-"], None, KEPT),
    ],
)
def test_what_is_read_and_the_preset_choose_where_nobody_said(
    corpora: list[str], preset: str | None, wanted: TextRules
) -> None:
    assert rules_for(corpora, preset) == wanted


def test_what_is_given_wins_over_all_and_a_run_that_goes_on_keeps_what_it_had() -> None:
    assert rules_for(["mine.txt"], "chapter", keep_newlines=True) == KEPT
    assert rules_for(["mine.txt"], None, keep_case=False) == TextRules(lowercase=True, newlines="keep")
    assert rules_for(["lyrics"], None, keep_case=True) == CHAPTER
    for before in (KEPT, FOLDED, CHAPTER):
        assert rules_for(["mine.txt"], None, before=vars(before)) == before
        assert rules_for(["lyrics"], "chapter", before=vars(before)) == before
    assert rules_for(["mine.txt"], None, keep_newlines=True, before=vars(FOLDED)) == TextRules(True, "keep")


def test_a_run_from_before_rules_were_recorded_goes_on_as_it_read() -> None:
    assert rules_for(["mine.txt"], None, before={}) == FOLDED
    assert rules_for(["mine.txt"], "chapter", before={}) == CHAPTER
