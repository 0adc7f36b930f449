from __future__ import annotations

import hashlib
import io
import zipfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.errors import CorpusError
from model.text import archives
from model.text.corpus import Corpus, read_corpus, read_text
from model.text.rules import TextRules


def write_zip(path: Path, members: dict[str, bytes], compression: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return path


def read_bytes(tmp_path: Path, data: bytes, **options: Any) -> Corpus:
    path = tmp_path / "text.txt"
    path.write_bytes(data)
    return read_corpus(path, **options)


def test_every_line_end_becomes_one_space(tmp_path: Path) -> None:
    assert read_bytes(tmp_path, b"a\nb\r\nc\rd").text == "a b c d"


@given(st.lists(st.sampled_from(["\r", "\n", "\r\n", "a", " ", "é", "分", "Σ"])).map("".join), st.booleans())
def test_a_text_is_read_as_the_chapter_reads_it(text: str, lowercase: bool) -> None:
    with io.TextIOWrapper(io.BytesIO(text.encode()), encoding="utf-8", newline=None) as file:  # as open() does
        chapters = file.read().replace("\n", " ").replace("\r", " ")
    assert TextRules(lowercase=lowercase).apply(text) == (chapters.lower() if lowercase else chapters)


def test_kept_newlines_are_written_as_line_feeds(tmp_path: Path) -> None:
    assert read_bytes(tmp_path, b"a\nb\r\nc\rd", rules=TextRules(newlines="keep")).text == "a\nb\nc\nd"


def test_lower_case_is_the_default_and_can_be_switched_off(tmp_path: Path) -> None:
    assert read_bytes(tmp_path, b"AbC").text == "abc"
    assert read_bytes(tmp_path, b"AbC", rules=TextRules(lowercase=False)).text == "AbC"


def test_text_is_composed_to_nfc(tmp_path: Path) -> None:
    assert read_bytes(tmp_path, "e\u0301".encode()).text == "\u00e9"


@given(st.text(), st.booleans(), st.sampled_from(["space", "keep"]))
def test_applying_the_rules_twice_changes_nothing_more(text: str, lowercase: bool, newlines: str) -> None:
    rules = TextRules(lowercase=lowercase, newlines=newlines)
    assert rules.apply(rules.apply(text)) == rules.apply(text)


def test_a_byte_order_mark_is_not_text(tmp_path: Path) -> None:
    assert read_bytes(tmp_path, b"\xef\xbb\xbfabc").text == "abc"


@pytest.mark.parametrize("encoding", ["gb18030", "utf-16", "utf-8", "UTF8"])
def test_other_encodings_are_read_when_named(tmp_path: Path, encoding: str) -> None:
    assert read_bytes(tmp_path, "想要有直升机".encode(encoding), encoding=encoding).text == "想要有直升机"


@pytest.mark.parametrize(("data", "offset"), [(b"abc\xff", 3), (b"\xef\xbb\xbfab\xff", 5), ("分".encode()[:2], 0)])
def test_a_byte_that_does_not_decode_is_named_with_its_offset(tmp_path: Path, data: bytes, offset: int) -> None:
    with pytest.raises(CorpusError, match=rf"offset {offset} is not UTF-8"):
        read_bytes(tmp_path, data)


def test_half_of_a_surrogate_pair_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match=r"half of a surrogate pair \(U\+D800\)"):
        read_bytes(tmp_path, b"a+2AA-b", encoding="utf-7")


def test_a_long_run_of_combining_marks_is_read_as_unicode_has_it() -> None:
    text = "a" + "\u0301\u0327" * 200_000  # sorted by insertion this would take minutes
    assert TextRules().apply(text) == "á" + "\u0327" * 200_000 + "\u0301" * 199_999


def test_an_unknown_encoding_is_named(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match="'klingon' is not one that Python knows"):
        read_bytes(tmp_path, b"abc", encoding="klingon")


def test_max_chars_cuts_after_normalising(tmp_path: Path) -> None:
    assert read_bytes(tmp_path, "e\u0301bc".encode(), max_chars=2).text == "\u00e9b"
    with pytest.raises(CorpusError, match="max_chars: 0"):
        read_bytes(tmp_path, b"abc", max_chars=0)


def test_an_empty_text_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match=r"^text\.txt is empty"):
        read_bytes(tmp_path, b"")


def test_a_missing_file_names_what_is_embedded(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match=r"no such file, and no embedded corpus of that name \(lyrics\)"):
        read_corpus(tmp_path / "nothing.txt")
    with pytest.raises(CorpusError, match=r"^corpus: '' names no file$"):
        read_corpus("")


def test_a_zip_of_one_text_is_read_like_the_text(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "a.zip", {"folder/": b"", "folder/a.txt": "分开".encode()})
    assert read_corpus(path).text == "分开"


def test_the_texts_in_a_zip_are_joined_and_one_without_any_is_refused(tmp_path: Path) -> None:
    several = write_zip(tmp_path / "a.zip", {"ch10.txt": b"c", "ch2.txt": b"b", "ch1.txt": b"a\n"})
    assert read_corpus(several, TextRules(newlines="keep")).text == "a\nb\nc"
    with pytest.raises(CorpusError, match=r"^b\.zip: holds no text$"):
        read_corpus(write_zip(tmp_path / "b.zip", {}))


def test_a_zip_within_a_zip_is_refused(tmp_path: Path) -> None:
    inner = io.BytesIO()
    with zipfile.ZipFile(inner, "w") as archive:
        archive.writestr("a.txt", b"abc")
    with pytest.raises(CorpusError, match=r"^a\.zip: holds no text; inner\.zip is a zip within"):
        read_corpus(write_zip(tmp_path / "a.zip", {"inner.zip": inner.getvalue()}))


@pytest.mark.parametrize("magic", [b"PK\x03\x04", b"PK\x05\x06"])
def test_what_begins_like_a_zip_and_is_none_is_refused(magic: bytes, tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match=r"^text\.txt: is not a readable zip"):
        read_bytes(tmp_path, magic + b"and some text")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"lowercase": 1}, "lowercase: 1 is neither true nor false"),
        ({"newlines": "drop"}, "newlines: 'drop' is not one of space, keep"),
        ({"normalisation": "NFKC"}, "normalisation: 'NFKC' is not NFC"),
    ],
)
def test_a_rule_that_there_is_not_is_named(options: dict[str, Any], message: str) -> None:
    with pytest.raises(CorpusError, match=f"^{message}$"):
        TextRules(**options)


def test_a_corpus_has_the_name_of_its_file_and_the_digest_of_its_text(tmp_path: Path) -> None:
    corpus = read_bytes(tmp_path, b"Ein Satz\n")
    assert corpus == Corpus("text.txt", "ein satz ", hashlib.sha256(b"ein satz ").hexdigest())
    zipped = write_zip(tmp_path / "a.zip", {"b.txt": "分开".encode()})
    assert read_text(zipped) == ("a.zip", "分开")
    assert read_text(str(zipped)) == ("a.zip", "分开")
    assert read_text("lyrics")[0] == "lyrics"


def test_a_text_is_read_as_it_was_written_before_any_rule(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"A\r\nB\rC\nD ")
    assert read_text(tmp_path / "a.txt") == ("a.txt", "A\r\nB\rC\nD ")


@pytest.mark.parametrize("max_chars", [1, 3, 4, None])
def test_a_text_is_cut_to_its_first_characters(max_chars: int | None, tmp_path: Path) -> None:
    assert read_bytes(tmp_path, b"abc", max_chars=max_chars).text == "abc"[:max_chars]


@pytest.mark.parametrize("encoding", ["utf-8", "UTF8", "utf_8", "Utf-8"])
def test_the_mark_and_the_offset_are_right_however_utf_8_is_written(encoding: str, tmp_path: Path) -> None:
    assert read_bytes(tmp_path, b"\xef\xbb\xbfabc", encoding=encoding).text == "abc"
    with pytest.raises(CorpusError, match=r"^text\.txt: byte 0xff at offset 5 is not UTF-8"):
        read_bytes(tmp_path, b"\xef\xbb\xbfab\xff", encoding=encoding)


def test_bytes_that_begin_like_a_mark_count_in_another_encoding(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match="byte 0xef at offset 0 is not ASCII"):
        read_bytes(tmp_path, b"\xef\xbb\xbfab", encoding="ascii")


def test_an_encoding_that_reads_nothing_is_none(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match=r"^encoding: 'undefined' is not one that Python knows"):
        read_bytes(tmp_path, b"abc", encoding="undefined")


def zip_of(size: int, packed: int) -> bytes:
    """A zip whose directory says so many bytes packed and unpacked."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("a.txt", b"x" * 50)
    data = bytearray(file.getvalue())
    at = data.index(b"PK\x01\x02")
    data[at + 20 : at + 28] = packed.to_bytes(4, "little") + size.to_bytes(4, "little")
    return bytes(data)


@pytest.mark.parametrize(("size", "packed"), [(5001, 50), (101, 0)])
def test_a_directory_that_claims_more_than_a_hundred_times_is_refused_unread(
    size: int, packed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = zip_of(size, packed)
    monkeypatch.setattr(zipfile.ZipFile, "open", lambda *_: pytest.fail("it was read"))
    with pytest.raises(
        CorpusError, match=r"^text\.txt/a\.txt: grows more than 100 times when unpacked; unpack it first"
    ):
        read_bytes(tmp_path, data)


def test_a_member_that_grows_exactly_as_often_as_is_allowed_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archives, "MAX_RATIO", 1)
    path = write_zip(tmp_path / "a.zip", {"a.txt": b"x" * 1000}, zipfile.ZIP_STORED)
    assert read_corpus(path).text == "x" * 1000


def test_a_zip_that_grows_over_a_hundred_times_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match="grows more than 100 times"):
        read_corpus(write_zip(tmp_path / "a.zip", {"a.txt": b"a" * 1_000_000}))


def test_a_zip_that_lies_about_its_size_is_refused(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "a.zip", {"a.txt": b"a" * 1_000_000})
    size = (1_000_000).to_bytes(4, "little")
    path.write_bytes(path.read_bytes().replace(size, (1000).to_bytes(4, "little")))
    with pytest.raises(CorpusError):
        read_corpus(path)


def test_an_encrypted_member_is_refused(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "a.zip", {"a.txt": b"abc"}, zipfile.ZIP_STORED)
    data = bytearray(path.read_bytes())
    data[6] |= 1  # flags of the local header
    data[data.index(b"PK\x01\x02") + 8] |= 1  # and of the central directory
    path.write_bytes(data)
    with pytest.raises(CorpusError, match=r"^a\.zip/a\.txt: is encrypted; unpack it first"):
        read_corpus(path)


@pytest.mark.parametrize("cut", [10, 40, 90])
def test_a_torn_zip_is_refused(tmp_path: Path, cut: int) -> None:
    path = write_zip(tmp_path / "a.zip", {"a.txt": b"a sentence that is long enough to be cut"})
    path.write_bytes(path.read_bytes()[:cut])
    with pytest.raises(CorpusError, match=r"^a\.zip: is not a readable zip"):
        read_corpus(path)


def test_the_embedded_lyrics_are_wide_and_hold_the_chapters_prefixes() -> None:
    corpus = read_corpus("lyrics")
    assert len(corpus.text) >= 20_000
    assert len(set(corpus.text)) >= 1_300
    assert all(prefix in corpus.text for prefix in ("分开", "不分开", "战争中部队"))


def test_the_embedded_lyrics_repeat_no_line_across_songs() -> None:
    songs = [set(s.split("\n")) for s in read_corpus("lyrics", TextRules(newlines="keep")).text.strip().split("\n\n")]
    assert len(songs) >= 70
    assert sum(map(len, songs)) == len(set().union(*songs))


def test_the_digest_is_of_the_text_as_the_model_sees_it(tmp_path: Path) -> None:
    first = read_bytes(tmp_path, b"ABC")
    assert first.sha256 == read_bytes(tmp_path, b"abc").sha256
    assert first.sha256 != read_bytes(tmp_path, b"abd").sha256
