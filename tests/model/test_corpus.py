from __future__ import annotations

import io
import zipfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.corpus import Corpus, TextRules, read_corpus
from model.errors import CorpusError


def write_zip(path: Path, members: dict[str, bytes], compression: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return path


def read_bytes(tmp_path: Path, data: bytes, **options: object) -> Corpus:
    path = tmp_path / "text.txt"
    path.write_bytes(data)
    return read_corpus(path, **options)  # type: ignore[arg-type]


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
    with pytest.raises(CorpusError, match=rf"offset {offset} is not utf-8"):
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
    with pytest.raises(CorpusError, match="is empty"):
        read_bytes(tmp_path, b"")


def test_a_missing_file_names_what_is_embedded(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match=r"no such file, and no embedded corpus of that name \(lyrics\)"):
        read_corpus(tmp_path / "nothing.txt")
    with pytest.raises(CorpusError, match="cannot be read"):
        read_corpus(tmp_path)


def test_a_zip_of_one_text_is_read_like_the_text(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "a.zip", {"folder/": b"", "folder/a.txt": "分开".encode()})
    assert read_corpus(path).text == "分开"


@pytest.mark.parametrize("members", [{}, {"a.txt": b"a", "b.txt": b"b"}])
def test_a_zip_must_hold_exactly_one_file(tmp_path: Path, members: dict[str, bytes]) -> None:
    with pytest.raises(CorpusError, match=f"exactly one text file, this one holds {len(members)}"):
        read_corpus(write_zip(tmp_path / "a.zip", members))


def test_a_zip_within_a_zip_is_refused(tmp_path: Path) -> None:
    inner = io.BytesIO()
    with zipfile.ZipFile(inner, "w") as archive:
        archive.writestr("a.txt", b"abc")
    with pytest.raises(CorpusError, match="holds another zip"):
        read_corpus(write_zip(tmp_path / "a.zip", {"inner.zip": inner.getvalue()}))


def test_a_zip_that_grows_over_a_hundred_times_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match="grows more than 100 times"):
        read_corpus(write_zip(tmp_path / "a.zip", {"a.txt": b"a" * 1_000_000}))


def test_a_zip_that_unpacks_over_64_mb_is_refused(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "a.zip", {"a.txt": b"abcdefgh" * (8 * 2**20 + 1)}, zipfile.ZIP_STORED)
    with pytest.raises(CorpusError, match="unpacks to more than 64 MB"):
        read_corpus(path)


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
    with pytest.raises(CorpusError, match="is encrypted"):
        read_corpus(path)


@pytest.mark.parametrize("cut", [10, 40, 90])
def test_a_torn_zip_is_refused(tmp_path: Path, cut: int) -> None:
    path = write_zip(tmp_path / "a.zip", {"a.txt": b"a sentence that is long enough to be cut"})
    path.write_bytes(path.read_bytes()[:cut])
    with pytest.raises(CorpusError, match="not a readable zip"):
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
