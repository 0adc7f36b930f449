from __future__ import annotations

import re
import unicodedata
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from model.errors import CorpusError
from model.text import encoding, pieces, reader
from model.text.corpus import read_corpus
from model.text.encoding import EncodedCorpus, encode, index_type, open_corpus
from model.text.pieces import Folding, cut
from model.text.reader import Reader
from model.text.rules import TextRules
from model.text.source import Source

TEXT = "\ufeffΟΔΥΣΣΕΥΣ said: e\u0301, ‘İstanbul’\r\nA\rline 分开\n\n不分开 of many wordsΣ " * 50


def stream(
    file: Path, rules: TextRules, name: str = "utf-8", max_chars: int | None = None, folder: Path | None = None
) -> EncodedCorpus:
    """A file as a large one is read: on disk."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(encoding, "LARGE_BYTES", 2)
        return open_corpus(Source((str(file),), name, max_chars=max_chars), rules, folder)


@pytest.mark.parametrize("max_chars", [None, 100, 777])
@pytest.mark.parametrize("newlines", ["space", "keep"])
@pytest.mark.parametrize("piece_bytes", [1, 7, 64, 2**20])
def test_a_streamed_text_is_the_one_read_whole(
    piece_bytes: int, newlines: str, max_chars: int | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reader, "PIECE_BYTES", piece_bytes)
    file, rules = tmp_path / "text.txt", TextRules(newlines=newlines)
    file.write_bytes(TEXT.encode())
    whole = encode(read_corpus(file, rules, max_chars=max_chars), rules)
    streamed = stream(file, rules, max_chars=max_chars, folder=tmp_path / "out")
    assert (streamed.vocabulary, streamed.sha256) == (whole.vocabulary, whole.sha256)
    assert streamed.indices.dtype == whole.indices.dtype
    assert np.array_equal(streamed.indices, whole.indices)
    assert not list((tmp_path / "out").iterdir())


AWKWARD = st.sampled_from(
    [
        "\r",
        "\n",
        "\r\n",
        "\r\r\n",
        " ",
        "a",
        "Σ",
        "'",
        "e\u0301",
        "\u0327\u0301",
        "İ",
        "\u1100",
        "\u1161",
        "\u11a8",
        "分",
        "A.",
    ]
)


PLAIN = st.characters(exclude_categories=["Cs"], exclude_characters="\0\x1b")  # the decoder may refuse the two


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(AWKWARD | st.text(PLAIN, max_size=3), min_size=1).map("".join),
    st.integers(1, 40), st.booleans(), st.sampled_from(["space", "keep"]), st.none() | st.integers(1, 30),
    st.sampled_from(["utf-8", "utf-16", "gb18030"]),
)  # fmt: skip
def test_any_text_in_pieces_of_any_size_is_the_text_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, piece_bytes: int, lowercase: bool, newlines: str,
    max_chars: int | None, name: str,
) -> None:  # fmt: skip
    file, rules = tmp_path / "text.txt", TextRules(lowercase, newlines)
    file.write_bytes(text.encode(name))
    expected = unicodedata.normalize("NFC", text.replace("\ufeff", ""))
    if lowercase:
        expected = unicodedata.normalize("NFC", expected.lower())
    expected = re.sub("\r\n?", "\n", expected)
    expected = (expected.replace("\n", " ") if newlines == "space" else expected)[:max_chars]
    with monkeypatch.context() as patch:
        patch.setattr(reader, "PIECE_BYTES", piece_bytes)
        if not expected:
            with pytest.raises(CorpusError, match="is empty"):
                stream(file, rules, name, max_chars)
            return
        streamed = stream(file, rules, name, max_chars)
    whole = read_corpus(file, rules, name, max_chars)
    assert whole.text == expected
    assert streamed.vocabulary.decode(streamed.indices) == expected
    assert streamed.sha256 == whole.sha256


@pytest.mark.parametrize(
    "text", ["ACGT" * 5000, "分开" * 5000, "é" * 9000, "дом" * 5000, "\r\n" * 9000, "a\u0301" * 5000]
)
def test_no_piece_is_much_larger_than_what_is_read_at_once(
    text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reader, "PIECE_BYTES", 100)
    file = tmp_path / "text.txt"
    file.write_bytes(text.encode())
    assert max(map(len, Folding(TextRules()).pieces(cut(Reader(Source((str(file),))).texts(), "text")))) <= 103


@pytest.mark.parametrize("text", ["\u0301" * 5000, "." * 5000, "Σ" * 5000])
def test_a_text_that_cannot_be_cut_is_refused_before_it_is_all_in_memory(
    text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reader, "PIECE_BYTES", 100)
    monkeypatch.setattr(pieces, "UNCUT_CHARS", 1000)
    file = tmp_path / "text.txt"
    file.write_bytes(text.encode())
    with pytest.raises(CorpusError, match=r"^text\.txt: has 1,\d\d\d characters without a place to cut it"):
        stream(file, TextRules())


def test_an_embedded_corpus_goes_before_a_large_file_of_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(encoding, "LARGE_BYTES", 5)
    (tmp_path / "lyrics").write_text("a file of that name", encoding="utf-8")
    assert open_corpus(Source(("lyrics",)), TextRules()).sha256 == read_corpus("lyrics").sha256


@pytest.mark.parametrize("max_chars", [0, -1])
def test_a_streamed_text_has_the_bounds_of_one_read_whole(max_chars: int, tmp_path: Path) -> None:
    (tmp_path / "text.txt").write_text("some text", encoding="utf-8")
    with pytest.raises(CorpusError, match=f"max_chars: {max_chars}"):
        stream(tmp_path / "text.txt", TextRules(), max_chars=max_chars)
    (tmp_path / "half.txt").write_bytes(b"a+2AA-b")
    with pytest.raises(CorpusError, match="half of a surrogate pair"):
        stream(tmp_path / "half.txt", TextRules(), "utf-7")


def test_large_files_are_streamed_and_small_ones_are_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "text.txt"
    file.write_text("some text\n" * 10, encoding="utf-8")
    assert not isinstance(open_corpus(Source((str(file),)), TextRules()).indices, np.memmap)
    monkeypatch.setattr(encoding, "LARGE_BYTES", 50)
    assert isinstance(open_corpus(Source((str(file),)), TextRules()).indices, np.memmap)


def test_a_text_is_large_from_its_bound_on_and_so_is_that_in_a_zip(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, rules = tmp_path / "text.txt", TextRules(newlines="keep")
    file.write_text("Some\ntext", encoding="utf-16")  # 7 bytes are left of it in UTF-8
    for bound, streamed in ((8, False), (7, True)):
        monkeypatch.setattr(encoding, "LARGE_BYTES", bound)
        corpus = open_corpus(Source((str(file),), "utf-16", max_chars=7), rules, tmp_path / "a" / "b")
        assert isinstance(corpus.indices, np.memmap) == streamed
        assert corpus.vocabulary.decode(corpus.indices) == "some\nte"
        assert corpus.name == "text.txt"
        assert corpus.rules == rules
        assert (tmp_path / "a" / "b").exists() == streamed
    with zipfile.ZipFile(tmp_path / "text.zip", "w") as archive:
        archive.writestr("a.txt", "Text " * 20)
    zipped = open_corpus(Source((str(tmp_path / "text.zip"),), max_chars=7), rules)
    assert zipped.indices.tolist() == [2, 1, 3, 2, 0, 2, 1]
    assert isinstance(zipped.indices, np.memmap)
    with zipfile.ZipFile(tmp_path / "none.zip", "w"):
        pass
    with pytest.raises(CorpusError, match=r"none\.zip: holds no text"):
        open_corpus(Source((str(tmp_path / "none.zip"),)), rules)


def test_what_cannot_be_streamed_is_named_with_its_file(tmp_path: Path) -> None:
    (tmp_path / "empty.txt").touch()
    with pytest.raises(CorpusError, match=r"^empty\.txt is empty"):
        stream(tmp_path / "empty.txt", TextRules())
    with pytest.raises(CorpusError, match=r"none\.txt: no such file"):
        stream(tmp_path / "none.txt", TextRules())
    for unknown in ("klingon", "rot13", "base64"):
        with pytest.raises(CorpusError, match=rf"^encoding: '{unknown}' is not one that Python knows"):
            stream(tmp_path / "empty.txt", TextRules(), unknown)


@pytest.mark.parametrize("name", ["utf-8", "UTF8", "utf_8"])
def test_a_mark_is_not_text_of_a_streamed_file_however_utf_8_is_written(name: str, tmp_path: Path) -> None:
    (tmp_path / "text.txt").write_bytes(b"\xef\xbb\xbfab")
    assert stream(tmp_path / "text.txt", TextRules(), name).vocabulary.characters == ("a", "b")


@pytest.mark.parametrize("piece_bytes", [1, 2, 3, 2**20])
def test_a_byte_that_does_not_decode_has_its_offset_however_large_the_file_is(
    piece_bytes: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reader, "PIECE_BYTES", piece_bytes)
    file = tmp_path / "text.txt"
    for data, byte, offset in (
        (b"good \xff bad", "0xff", 5),
        ("good 分".encode()[:-1], "0xe5", 5),
        (b"\xef\xbb\xbfgood\xff", "0xff", 7),
    ):
        file.write_bytes(data)
        with pytest.raises(CorpusError, match=rf"^text\.txt: byte {byte} at offset {offset} is not UTF-8"):
            stream(file, TextRules())


def test_indices_take_the_smallest_type() -> None:
    assert [index_type(n) for n in (1, 256, 257, 65536, 65537)] == [np.uint8, np.uint8, np.uint16, np.uint16, np.uint32]
