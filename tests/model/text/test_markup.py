from __future__ import annotations

import json

import pytest

from model.text.markup import LOOKED_AT, markup

CHAT = "[12:03] <anna> are you there?\n[12:04] <bert> yes: give me a minute, I am on the train\n"
GAMES = '[Event "Casual"]\n[White "Anna"]\n\n1. e4 e5 2. Nf3 Nc6 3. Bb5 a6\n'
CODE = "def f(x: list[int]) -> dict[str, int]:\n    return {\"a\": x[0], 'b': 1} if x < [3] else {}\n"


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ('{"a": 1, "b": [2]}', "JSON"),
        ('\n[{"a": "x\\ny"}]\n', "JSON"),
        ('{"role": "user", "text": "hi"}\n' * 5, "JSON"),  # one object a line
        (json.dumps([{"a": i, "b": "…"} for i in range(5000)]), "JSON"),  # only its beginning is looked at
        ("{\\rtf1\\ansi Hello}", "RTF"),
        ("{\\RTF1", "RTF"),
        ("<!doctype html><p>Hello <b>you</b></p>", "HTML or XML"),
        ("<p>Hello <br/> you\n" * 9, "HTML or XML"),
        ("name,age,town\n" + "Anna,3,Ulm\n" * 9, "a table (CSV)"),
        ("name;age;town\n" + "Anna;3,5;Ulm\n" * 9, "a table (CSV)"),
        ("hello\thallo\n" * 9, "a table (CSV)"),
        (CHAT * 9, None),
        (GAMES * 9, None),
        (CODE * 9, None),
        ("CC(=O)Oc1ccccc1C(=O)O\nc1ccccc1\n" * 9, None),
        ("Anna\nBerta\n" * 9, None),
        ("{a set} and [a list], he said\n" * 9, None),
        ("Roses are red,\nviolets, too.\n" * 9, None),
        ("a < b and c > d\n" * 9, None),
        ("one, two, three\n" * 4, None),  # too few to say
        ("x" * 10, None),
    ],
)
def test_markup_and_data_are_told_from_texts(text: str, kind: str | None) -> None:
    assert markup(text) == kind


def test_only_the_beginning_is_looked_at() -> None:
    assert markup("word " * LOOKED_AT + "<p>a</p>" * 10 * LOOKED_AT) is None
