"""One text has one digest, whatever it is stored in; several are joined."""

from __future__ import annotations

import gzip
import io
import os
import re
import sys
import threading
import unicodedata
import zipfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from model.errors import CorpusError
from model.text import encoding, opening, reader
from model.text.corpus import read_corpus, read_text
from model.text.decoder import TextDecoder
from model.text.encoding import EncodedCorpus, open_corpus
from model.text.rules import TextRules
from model.text.source import DOCUMENT_END, Source
from tests.model.text.storing import BYTES, CHARACTERS, FILES, MAC_JUNK, zipped

TEXT = "Été à İstanbul:\n分开 ΟΔΥΣΣΕΥΣ\n\nsaid “no”, and left.\n" * 3
KEEP = TextRules(lowercase=False, newlines="keep")


def opened(*corpora: str | Path, rules: TextRules = KEEP, folder: Path | None = None, **how: object) -> EncodedCorpus:
    return open_corpus(Source(tuple(map(str, corpora)), **how), rules, folder)  # type: ignore[arg-type]


def text_of(corpus: EncodedCorpus) -> str:
    return corpus.vocabulary.decode(corpus.indices)


def write(folder: Path, files: dict[str, str | bytes]) -> Path:
    for name, data in files.items():
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(data if isinstance(data, bytes) else data.encode())
    return folder


@contextmanager
def on_standard_input(data: bytes) -> Iterator[None]:
    """A pipe, which cannot be searched."""
    ours, theirs = os.pipe()

    def fill() -> None:
        with open(theirs, "wb") as file:
            file.write(data)

    filling = threading.Thread(target=fill, daemon=True)
    filling.start()
    with open(ours, encoding="utf-8") as stream, pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "stdin", stream)
        yield
    filling.join()


@pytest.mark.parametrize("file", FILES)
@pytest.mark.parametrize("in_bytes", BYTES)
@pytest.mark.parametrize("characters", CHARACTERS)
def test_a_text_is_the_same_however_it_is_stored(characters: str, in_bytes: str, file: str, tmp_path: Path) -> None:
    data = FILES[file](BYTES[in_bytes](CHARACTERS[characters](TEXT)))
    (tmp_path / "stored").write_bytes(data)
    (tmp_path / "text.txt").write_text(TEXT, encoding="utf-8")
    wanted = opened(tmp_path / "text.txt", rules=TextRules())
    found = opened(tmp_path / "stored", rules=TextRules())
    assert (found.sha256, found.vocabulary) == (wanted.sha256, wanted.vocabulary)
    assert np.array_equal(found.indices, wanted.indices)
    for what in ("line_starts", "line_ends", "capitals", "marks"):
        assert getattr(found.reading, what) == getattr(wanted.reading, what)
    with on_standard_input(data):
        assert opened("-", rules=TextRules()).sha256 == wanted.sha256


AWKWARD = st.sampled_from(
    ["\r", "\n", "\r\n", " ", "a", "A", "Σ", "'", "e\u0301", "\u0327\u0301", "İ", "\u1161", "分", "."]
)
TEXTS = st.lists(AWKWARD | st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\ufeff␃"), max_size=3))


def plain(text: str, rules: TextRules) -> str:
    """What the rules make of a text, in the simplest way."""
    text = unicodedata.normalize("NFC", text)
    if rules.lowercase:
        text = unicodedata.normalize("NFC", text.lower())
    text = re.sub("\r\n?", "\n", text)
    return text.replace("\n", " ") if rules.newlines == "space" else text


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=30)
@given(
    st.lists(TEXTS.map("".join).filter(bool), min_size=1, max_size=4), st.data(), st.sampled_from(["line", "document"]),
    st.booleans(), st.sampled_from(["space", "keep"]), st.none() | st.integers(1, 30), st.integers(1, 30),
    st.sampled_from([2, 2**20]),
)  # fmt: skip
def test_any_texts_stored_and_cut_in_any_way_are_joined_as_strings_are(
    tmp_path: Path, texts: list[str], data: st.DataObject, join: str, lowercase: bool, newlines: str,
    max_chars: int | None, piece_bytes: int, large_bytes: int,
) -> None:  # fmt: skip
    rules, corpora = TextRules(lowercase, newlines), []
    for number, text in enumerate(texts):
        in_bytes = data.draw(st.sampled_from(sorted(BYTES)))
        stored = data.draw(st.sampled_from(sorted(FILES)))
        (tmp_path / f"{number}").write_bytes(FILES[stored](BYTES[in_bytes](text)))
        corpora.append(str(tmp_path / f"{number}"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reader, "PIECE_BYTES", piece_bytes)
        patch.setattr(encoding, "LARGE_BYTES", large_bytes)
        source = Source(tuple(corpora), join=join, max_chars=max_chars)
        documents = [text for text in texts if text]
        if join == "document":
            whole = "".join(text + DOCUMENT_END for text in documents)
        else:
            whole = "".join(t if t.endswith("\n") else t + "\n" for t in documents[:-1]) + "".join(documents[-1:])
        wanted = plain(whole, rules)[:max_chars]
        if not wanted:
            with pytest.raises(CorpusError, match=r"is empty|holds no text"):
                open_corpus(source, rules)
            return
        found = open_corpus(source, rules)
        assert text_of(found) == wanted
        assert found.indices.dtype == encoding.index_type(len(set(wanted)))
        assert found.sha256 == read_corpus(source, rules).sha256
        opening, lines = found.reading.opening, plain(whole, replace(rules, newlines="keep"))[:max_chars]
        starts = Counter(line[0] for line in re.split("[\n␃]", lines) if line)
        assert whole.startswith(opening)
        assert opening == whole[:60] or max_chars is not None  # of what is cut off, no more may be read
        assert found.reading.line_starts == starts
        assert found.reading.line_ends == (lines.count("\n") if newlines == "space" else 0)
        capitals = sum(c != c.lower() for c in plain(whole, KEEP)[:max_chars])
        # İ becomes two characters, so what is cut may hold a capital less.
        assert found.reading.capitals == (capitals if lowercase else 0) or ("İ" in whole and max_chars is not None)


def test_several_are_joined_by_a_line_end_where_there_is_none(tmp_path: Path) -> None:
    write(tmp_path, {"a": "one", "b": "two\n", "c": "three\r", "d": "\nfour", "e": "five\n"})
    found = opened(*(tmp_path / name for name in "abcde"))
    assert text_of(found) == "one\ntwo\nthree\n\nfour\nfive\n"
    assert found.name == "a, b, c, 2 more"
    assert found.reading.documents == tuple("abcde")


def test_each_document_ends_with_its_mark_where_they_are_joined_by_documents(tmp_path: Path) -> None:
    write(tmp_path, {"a": "one", "b": "two\n"})
    found = opened(tmp_path / "a", tmp_path / "b", join="document")
    assert text_of(found) == "one␃two\n␃"
    assert found.reading.line_starts == {"o": 1, "t": 1}
    assert text_of(opened(tmp_path / "a", join="document")) == "one␃"
    assert text_of(opened(tmp_path / "a", join="document", max_chars=2)) == "on"


def test_a_text_that_holds_the_mark_itself_is_refused_by_name(tmp_path: Path) -> None:
    write(tmp_path, {"a": "one", "b": "t␃o"})
    with pytest.raises(CorpusError, match=r"^b: holds ␃ \(U\+2403\), the character that marks where a document ends;"):
        opened(tmp_path / "a", tmp_path / "b", join="document")
    assert text_of(opened(tmp_path / "a", tmp_path / "b")) == "one\nt␃o"


def test_an_embedded_corpus_may_be_among_several_and_keeps_its_encoding(tmp_path: Path) -> None:
    write(tmp_path, {"a.txt": "分开".encode("gb18030")})
    found = opened("lyrics", tmp_path / "a.txt", encoding="gb18030")
    assert text_of(found) == read_corpus("lyrics", KEEP).text.removesuffix("\n") + "\n分开"
    assert found.reading.encoding == "utf-8, gb18030"
    assert found.name == "lyrics, a.txt"


def test_a_folder_is_one_text_and_says_what_it_left_out(tmp_path: Path) -> None:
    write(tmp_path / "book", {"ch10.txt": "ten", "ch2.txt": "two\n", "ch1.txt": "one", "empty.txt": "", ".x": "hidden"})
    write(tmp_path / "book", {"inner.zip": zipped({"a": b"a"}), "a/b.txt": "deep", "noise.bin": bytes(range(256)) * 9})
    write(tmp_path / "book", {"note.gz": gzip.compress(b"packed")})
    found = opened(tmp_path / "book")
    assert text_of(found) == "deep\none\ntwo\nten\npacked"
    assert found.name == "book"
    names = ("a/b.txt", "ch1.txt", "ch2.txt", "ch10.txt", "note.gz")
    assert found.reading.documents == tuple(f"book/{name}" for name in names)
    left_out = dict(found.reading.left_out)
    assert sorted(left_out) == ["book/.x", "book/empty.txt", "book/inner.zip", "book/noise.bin"]
    assert left_out["book/.x"] == "is hidden"
    assert left_out["book/empty.txt"] == "is empty"
    assert left_out["book/inner.zip"] == "is a zip within a folder or a zip; give it by itself"


def test_a_zip_of_several_is_read_as_the_folder_is(tmp_path: Path) -> None:
    files = {"b/ch10.txt": b"ten", "b/ch9.txt": b"nine", "b/.hidden/x.txt": b"x", "b/noise.bin": bytes(range(256)) * 9}
    write(tmp_path / "f", dict(files))
    write(tmp_path, {"f.zip": zipped({**files, **MAC_JUNK})})
    folder, packed = opened(tmp_path / "f"), opened(tmp_path / "f.zip")
    assert text_of(packed) == text_of(folder) == "nine\nten"
    assert packed.reading.documents == ("f.zip/b/ch9.txt", "f.zip/b/ch10.txt")
    assert sorted(name for name, _ in packed.reading.left_out) == ["f.zip/b/.hidden/x.txt", "f.zip/b/noise.bin"]


def test_what_holds_no_text_says_what_it_holds(tmp_path: Path) -> None:
    (tmp_path / "none").mkdir()
    with pytest.raises(CorpusError, match=r"^none: holds no text$"):
        opened(tmp_path / "none")
    write(tmp_path / "some", {"a.bin": bytes(range(256)) * 9, ".b": "b", "c.txt": "", "d.txt": ""})
    with pytest.raises(CorpusError, match=r"^some: holds no text; \.b is hidden, a\.bin .*, c\.txt is empty, 1 more$"):
        opened(tmp_path / "some")
    write(tmp_path, {"a.txt": "a"})
    with pytest.raises(CorpusError, match=r"^none: holds no text$"):
        opened(tmp_path / "a.txt", tmp_path / "none")


def test_an_empty_file_among_several_is_told(tmp_path: Path) -> None:
    write(tmp_path, {"a": "", "b": "b"})
    found = opened(tmp_path / "a", tmp_path / "b")
    assert (text_of(found), found.reading.left_out) == ("b", (("a", "is empty"),))


def test_a_mark_inside_is_dropped_and_counted(tmp_path: Path) -> None:
    write(tmp_path, {"a": "\ufeffa\n\ufeffb\ufeff", "b": "\ufeffc"})
    found = opened(tmp_path / "a", tmp_path / "b")
    assert (text_of(found), found.reading.marks) == ("a\nb\nc", 2)
    assert found.reading.opening == "a\nb\nc"


def test_what_the_rules_fold_is_counted(tmp_path: Path) -> None:
    write(tmp_path, {"a": "ÀB c\r\nİ\n d\n\nE"})
    found = opened(tmp_path / "a", rules=TextRules()).reading
    assert (found.line_ends, found.capitals) == (4, 4)
    assert found.line_starts == {"à": 1, "i": 1, " ": 1, "e": 1}
    assert found.opening == "ÀB c\r\nİ\n d\n\nE"
    kept = opened(tmp_path / "a").reading
    assert (kept.line_ends, kept.capitals, kept.line_starts["À"]) == (0, 0, 1)
    cut = opened(tmp_path / "a", rules=TextRules(), max_chars=5).reading
    assert (cut.line_ends, cut.capitals, cut.line_starts) == (1, 2, {"à": 1})


def test_standard_input_is_read_once(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match=r"^corpus: standard input can be read once, and is given twice$"):
        opened("-", "/dev/stdin")
    write(tmp_path, {"a": "first"})
    with on_standard_input(b"second"):
        found = opened(tmp_path / "a", "-")
    assert (text_of(found), found.name) == ("first\nsecond", "a, standard input")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "stdin", None)
        with pytest.raises(CorpusError, match=r"^standard input: cannot be read \(it is closed\)$"):
            opened("-")


def test_no_more_of_an_endless_pipe_is_read_than_is_asked_for() -> None:
    class Endless(io.RawIOBase):
        def readable(self) -> bool:
            return True

        def readinto(self, buffer: bytearray) -> int:  # type: ignore[override]
            buffer[:] = (b"yes\n" * (len(buffer) // 4 + 1))[: len(buffer)]
            return len(buffer)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "stdin", io.TextIOWrapper(io.BufferedReader(Endless())))  # type: ignore[type-var]
        assert text_of(opened("-", max_chars=6)) == "yes\nye"


def test_a_named_pipe_is_a_text(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for data in (TEXT.encode(), zipped({"a.txt": TEXT.encode()})):
        filling = threading.Thread(target=(tmp_path / "pipe").write_bytes, args=(data,), daemon=True)
        filling.start()
        assert text_of(opened(tmp_path / "pipe", folder=tmp_path)) == unicodedata.normalize("NFC", TEXT)
        filling.join()
    assert [path.name for path in tmp_path.iterdir()] == ["pipe"]


@pytest.mark.skipif(not Path("/dev/fd").exists(), reason="there is no /dev/fd")
def test_standard_input_by_its_path_is_a_text(tmp_path: Path) -> None:
    ours, theirs = os.pipe()
    os.write(theirs, gzip.compress(TEXT.encode("utf-16")))
    os.close(theirs)
    assert text_of(opened(f"/dev/fd/{ours}")) == unicodedata.normalize("NFC", TEXT)  # as /dev/stdin is /dev/fd/0
    os.close(ours)


@pytest.mark.parametrize("stored", ["plain", "gz", "zip"])
def test_a_file_that_is_written_to_while_it_is_read_is_refused(
    stored: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "growing.log"
    file.write_bytes(FILES[stored](TEXT.encode()))
    real = TextDecoder.decode

    def decode(self: TextDecoder, data: bytes, final: bool = False) -> str:
        with file.open("ab") as more:
            more.write(b"more")
        return real(self, data, final)

    monkeypatch.setattr(TextDecoder, "decode", decode)
    with pytest.raises(CorpusError, match=r"^growing\.log: changed while it was read; train on a copy of it$"):
        opened(file)
    if stored == "plain":
        assert text_of(opened(file, max_chars=5)) == TEXT[:5]  # which was read before


def test_what_cannot_be_read_is_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for corpus, message in (
        (str(tmp_path / "none"), r"none: no such file, and no embedded corpus of that name \(lyrics\)$"),
        ("x" * 300, r"^x+: cannot be read \(File name too long\)$"),
        ("a\0b", r"^a\ufffdb: cannot be read \(embedded null byte\)$"),
    ):
        with pytest.raises(CorpusError, match=message):
            opened(corpus)
    with pytest.raises(CorpusError, match=r"^corpus: none is given$"):
        opened()
    with pytest.raises(CorpusError, match=r"^join: 'comma' is not one of line, document$"):
        opened("lyrics", join="comma")
    with pytest.raises(CorpusError, match=r"^errors: 'ignore' is not one of strict, replace$"):
        opened("lyrics", errors="ignore")


def test_a_disk_that_fails_while_it_is_read_is_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Failing(io.RawIOBase):
        def readable(self) -> bool:
            return True

        def readinto(self, buffer: object) -> int:
            raise OSError(5, "Input/output error")

    monkeypatch.setattr(Path, "open", lambda *_: io.BufferedReader(Failing()))
    with pytest.raises(CorpusError, match=r"^a\.txt: cannot be read \(Input/output error\)$"):
        opened(tmp_path / "a.txt")


def test_a_folder_that_cannot_be_written_in_is_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encoding, "LARGE_BYTES", 2)
    write(tmp_path, {"a": "text", "file": ""})
    with pytest.raises(
        CorpusError, match=r"file/m: the text cannot be kept there while it is read \(Not a directory\)"
    ):
        opened(tmp_path / "a", folder=tmp_path / "file" / "m")
    write(tmp_path, {"a.zip": zipped({"a.txt": b"text"})})
    with (
        on_standard_input((tmp_path / "a.zip").read_bytes()),
        pytest.raises(CorpusError, match=r"file/m: the text cannot be kept there while it is read \(Not a directory\)"),
    ):
        opened("-", folder=tmp_path / "file" / "m")


def test_a_document_that_is_read_in_one_has_a_bound(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(opening, "kind_of", lambda *_: "html")
    monkeypatch.setattr(reader, "text_of", lambda kind, name, data: f"{kind} {name} {len(data)}")
    monkeypatch.setattr(opening, "MAX_PARSED_BYTES", 2**20)
    write(tmp_path, {"a.html": b"x" * 2**20, "b.html": b"x" * (2**20 + 1)})
    assert text_of(opened(tmp_path / "a.html")) == f"html a.html {2**20}"
    with pytest.raises(
        CorpusError, match=r"^b\.html: has more than 1 MB, which is read of plain text only; save it as"
    ):
        opened(tmp_path / "b.html")


def test_a_text_as_it_was_written_is_joined_too(tmp_path: Path) -> None:
    write(tmp_path, {"a": "A\r\nB\r", "b": "\nC"})
    assert read_text(Source((str(tmp_path / "a"), str(tmp_path / "b")))) == ("a, b", "A\r\nB\r\n\nC")
    assert read_text(tmp_path) == (tmp_path.name, "A\r\nB\r\n\nC")
    assert read_text("lyrics", "gb18030")[1] == read_text("lyrics")[1]


def test_a_text_that_begins_with_what_a_zip_begins_with_is_told(tmp_path: Path) -> None:
    write(tmp_path, {"a": b"PK\x03\x04 and some text"})
    with pytest.raises(CorpusError, match=r"^a: is not a readable zip \(File is not a zip file\)$"):
        opened(tmp_path / "a")
    assert zipfile.is_zipfile(io.BytesIO(zipped({})))
