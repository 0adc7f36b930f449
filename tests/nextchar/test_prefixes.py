from __future__ import annotations

import io
from pathlib import Path
from types import SimpleNamespace

import pytest

from model.errors import CorpusError
from nextchar.prefixes import Prefix, from_arguments, from_file, unescaped


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        (r"a\nb", "a\nb"),
        (r"\ta", "\ta"),
        (r"a\\nb", r"a\nb"),
        (r"\\\n", "\\\n"),
        (r"C:\temp\x", "C:\temp\\x"),
        ("a\\", "a\\"),
        ("分开", "分开"),
        ("", ""),
    ],
)
def test_line_ends_tabs_and_backslashes_can_be_given_on_the_command_line(given: str, meant: str) -> None:
    assert unescaped(given) == meant


def test_prefixes_are_numbered_where_there_are_several() -> None:
    assert from_arguments([]) == []
    assert from_arguments([r"a\n"]) == [Prefix("a\n", "")]
    assert from_arguments(["a", "b"]) == [Prefix("a", "prefix 1"), Prefix("b", "prefix 2")]


def texts(path: Path, content: str | bytes) -> list[str]:
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return [prefix.text for prefix in from_file(str(path))]


def test_a_file_has_a_prefix_on_each_line_as_it_stands(tmp_path: Path) -> None:
    file = tmp_path / "names.txt"
    assert texts(file, "Ada \n\n  \r\nBo\\n\r\u2028x\n\n分开") == ["Ada ", "Bo\\n", "\u2028x", "分开"]
    assert [prefix.place for prefix in from_file(str(file))] == [f"{file}, line {line}" for line in (1, 4, 5, 7)]
    assert texts(file, b"\xef\xbb\xbfAda\n") == ["Ada"]
    assert texts(file, '"Yes"\n"No"\n') == ['"Yes"', '"No"']
    assert texts(file, "{ curly\n") == ["{ curly"]
    assert texts(file, "") == []


def test_lines_of_json_are_objects_with_a_prefix_or_texts(tmp_path: Path) -> None:
    lines = '{"prefix": "a\\nb", "seed": 4}\n\n  {"prefix": ""}\n"c\\\\n"\n'
    for name in ("given.jsonl", "given.txt"):  # the first line tells it too
        assert texts(tmp_path / name, lines) == ["a\nb", "", "c\\n"]
    assert texts(tmp_path / "words.jsonl", '"a"\n"b"\n') == ["a", "b"]


@pytest.mark.parametrize("line", ["[1]", "7", "{}", '{"prefix": 3}', "a", '{"prefix": "a"', "[" * 100_000])
def test_a_line_that_is_no_prefix_in_json_is_named(tmp_path: Path, line: str) -> None:
    file = tmp_path / "given.jsonl"
    with pytest.raises(CorpusError, match=r'given\.jsonl, line 3: .* is neither an object with "prefix" nor a text'):
        texts(file, f'"a"\n\n{line}\n')


def test_a_file_that_is_not_utf_8_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match=r"names\.txt: is not UTF-8; save it as UTF-8$"):
        texts(tmp_path / "names.txt", "Å".encode("latin-1"))


def test_prefixes_come_on_standard_input_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=io.BytesIO(b"a\n\nb")))
    assert from_file("-") == [Prefix("a", "standard input, line 1"), Prefix("b", "standard input, line 3")]
