from __future__ import annotations

import gzip
import io
import zipfile
from pathlib import Path
from typing import IO

import pytest

from model.errors import CorpusError
from model.text import archives
from model.text.corpus import read_corpus, read_text
from tests.model.text.storing import zipped

TEXT = b"some text, and some more of it\n"


@pytest.mark.parametrize(
    "packed", [gzip.compress(b"a" * size) for size in (1_000_000, 200_000)], ids=["large", "small"]
)
def test_a_gzip_file_that_grows_over_a_hundred_times_says_what_to_do(packed: bytes, tmp_path: Path) -> None:
    (tmp_path / "a.gz").write_bytes(packed)
    with pytest.raises(CorpusError, match=r"^a\.gz: grows more than 100 times when unpacked; unpack it first, then"):
        read_text(tmp_path / "a.gz")


def test_no_more_of_what_grows_is_unpacked_than_tells_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archives, "CERTAIN_BYTES", 2**20)
    packed = gzip.compress(b"a" * 2**24)
    unpacked = 0

    def read(stream: IO[bytes]) -> None:
        nonlocal unpacked
        while data := stream.read(2**16):
            unpacked += len(data)

    with (
        archives.gunzipped("a.gz", b"", io.BytesIO(packed)) as stream,
        pytest.raises(CorpusError, match="grows more than 100 times"),
    ):
        read(stream)
    assert unpacked <= 100 * len(packed) < 2**24


def test_a_gzip_file_that_begins_with_a_long_repetition_is_read(tmp_path: Path) -> None:
    text = "a" * 500_000 + "".join(f"{n * n} " for n in range(10_000))
    (tmp_path / "a.gz").write_bytes(gzip.compress(text.encode()))
    assert read_text(tmp_path / "a.gz") == ("a.gz", text)


@pytest.mark.parametrize("cut", [3, 12, 30, -1])
def test_a_torn_gzip_file_is_a_sentence(cut: int, tmp_path: Path) -> None:
    (tmp_path / "a.gz").write_bytes(gzip.compress(TEXT)[:cut])
    with pytest.raises(CorpusError, match=r"^a\.gz: cannot be unpacked \("):
        read_text(tmp_path / "a.gz")


def test_a_damaged_gzip_file_is_a_sentence(tmp_path: Path) -> None:
    for at in (12, 20, -6, -2):  # what is packed, its sum, its length
        data = bytearray(gzip.compress(TEXT))
        data[at] ^= 0xFF
        (tmp_path / "a.gz").write_bytes(data)
        with pytest.raises(CorpusError, match=r"^a\.gz: "):
            read_text(tmp_path / "a.gz")


@pytest.mark.parametrize(
    ("inner", "kind"), [(zipped({"a.txt": TEXT}), "zip"), (gzip.compress(TEXT), "gzip")], ids=["zip", "gzip"]
)
def test_what_is_packed_twice_is_named(inner: bytes, kind: str, tmp_path: Path) -> None:
    (tmp_path / "a.gz").write_bytes(gzip.compress(inner))
    with pytest.raises(CorpusError, match=rf"^a\.gz: holds a {kind} file; unpack it first$"):
        read_text(tmp_path / "a.gz")


def test_the_members_of_a_zip_are_added_up(tmp_path: Path) -> None:
    # Each grows less than a hundred times, and all share one stretch of packed bytes, as in a bomb.
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("0.txt", "".join(f"{n} " + "a" * 300 for n in range(500)))
        (member,) = archive.infolist()
        for n in range(1, 50):
            copy = zipfile.ZipInfo(f"{n}.txt")
            for name in ("header_offset", "CRC", "compress_size", "file_size", "compress_type", "flag_bits"):
                setattr(copy, name, getattr(member, name))
            archive.filelist.append(copy)
            archive.NameToInfo[copy.filename] = copy
    assert member.file_size < 100 * member.compress_size
    (tmp_path / "bomb.zip").write_bytes(file.getvalue())
    with pytest.raises(CorpusError, match=r"^bomb\.zip: grows more than 100 times when unpacked; unpack it first"):
        read_text(tmp_path / "bomb.zip")


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_a_zip_is_read_whatever_packs_it_and_its_damage_is_a_sentence(method: int, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w", method) as archive:
        archive.writestr("a.txt", TEXT * 20)
    assert read_text(tmp_path / "a.zip") == ("a.zip", TEXT.decode() * 20)
    data = bytearray((tmp_path / "a.zip").read_bytes())
    data[50] ^= 0xFF
    (tmp_path / "a.zip").write_bytes(data)
    with pytest.raises(CorpusError, match=r"^a\.zip/a\.txt: cannot be unpacked \("):
        read_text(tmp_path / "a.zip")


def test_a_method_that_there_is_not_is_a_sentence(tmp_path: Path) -> None:
    data = bytearray(zipped({"a.txt": TEXT}))
    for signature, offset in ((b"PK\x03\x04", 8), (b"PK\x01\x02", 10)):
        data[data.index(signature) + offset] = 99
    (tmp_path / "a.zip").write_bytes(data)
    with pytest.raises(CorpusError, match=r"^a\.zip/a\.txt: cannot be unpacked \(.*method"):
        read_text(tmp_path / "a.zip")


def test_a_large_text_in_a_zip_is_read_in_pieces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[int] = []
    real = archives.Unpacked.take

    def take(self: archives.Unpacked, size: int) -> bytes:
        sizes.append(size)
        return real(self, size)

    monkeypatch.setattr(archives.Unpacked, "take", take)
    text = "".join(f"{n * n}\n" for n in range(150_000))
    (tmp_path / "a.zip").write_bytes(zipped({"a.txt": text.encode()}))
    assert read_corpus(tmp_path / "a.zip").text == text.replace("\n", " ")
    assert max(sizes) <= 2**20
