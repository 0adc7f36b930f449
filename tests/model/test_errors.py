from __future__ import annotations

import pytest

from model.errors import NextcharError, OptionError, UnknownCharactersError, brief, describe


@pytest.mark.parametrize(
    ("character", "shown"),
    [
        ("é", "'é' (U+00E9)"),
        ("分", "'分' (U+5206)"),
        ("\x1b", "U+001B"),
        ("\ud800", "U+D800"),
        ("\U0001f600", "'😀' (U+1F600)"),
    ],
)
def test_a_character_is_shown_with_its_code_point_and_alone_where_it_does_not_print(character: str, shown: str) -> None:
    assert describe(character) == shown


def test_an_option_is_named_before_what_is_wrong_with_it() -> None:
    error = OptionError("top_k", "0 is not at least 1")
    assert (error.field, str(error)) == ("top_k", "top_k: 0 is not at least 1")
    assert isinstance(error, NextcharError)


@pytest.mark.parametrize(
    ("positions", "message"),
    [
        ({"é": [3]}, "the model has never seen this character: 'é' (U+00E9) at position 3"),
        (
            {"é": [3, 5], "ß": [0]},
            "never seen these characters: 'é' (U+00E9) at positions 3, 5, 'ß' (U+00DF) at position 0",
        ),
        ({"é": list(range(7))}, "at positions 0, 1, 2, 3, 4 …"),
        ({"é": list(range(6))}, "at positions 0, 1, 2, 3, 4 …"),
        ({"é": list(range(5))}, "at positions 0, 1, 2, 3, 4"),
        ({chr(0x4E00 + i): [i] for i in range(12)}, "(U+4E09) at position 9 and 2 more"),
        ({chr(0x4E00 + i): [i] for i in range(11)}, "(U+4E09) at position 9 and 1 more"),
        ({chr(0x4E00 + i): [i] for i in range(10)}, "(U+4E09) at position 9"),
    ],
)
def test_unknown_characters_are_named_with_their_places_and_the_many_are_counted(
    positions: dict[str, list[int]], message: str
) -> None:
    error = UnknownCharactersError(positions)
    assert str(error).startswith("the model has never seen")
    assert str(error).endswith(message)
    assert error.positions == positions


@pytest.mark.parametrize("most", [1, 10, 300])
def test_what_others_wrote_is_quoted_in_one_printable_line(most: int) -> None:
    assert brief("plain", 5) == "plain"
    assert brief("plain", 4) == "plai…"
    assert brief("x" * 300) == "x" * 300
    assert brief("x" * 301) == "x" * 300 + "…"
    assert brief("a\x07\ud800b") == "a\ufffd\ufffdb"
    for text in ("\x1b]0;x\x07\n" * 100, "\ud800" * 50, "\u202e分" * 500):
        shown = brief(ValueError(text), most)
        assert shown.isprintable()
        assert len(shown) <= most + 1
        shown.encode()
