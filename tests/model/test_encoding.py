from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from model import encoding
from model.corpus import TextRules, read_corpus
from model.encoding import encode, index_type, open_corpus, stream
from model.errors import CorpusError

TEXT = "\ufeffΟΔΥΣΣΕΥΣ said: e\u0301, ‘İstanbul’\r\nA\rline 分开\n\n不分开 of many wordsΣ " * 50


@pytest.mark.parametrize("max_chars", [None, 100, 777])
@pytest.mark.parametrize("newlines", ["space", "keep"])
@pytest.mark.parametrize("piece_bytes", [1, 7, 64, 2**20])
def test_a_streamed_text_is_the_one_read_whole(
    piece_bytes: int, newlines: str, max_chars: int | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(encoding, "PIECE_BYTES", piece_bytes)
    file, rules = tmp_path / "text.txt", TextRules(newlines=newlines)
    file.write_bytes(TEXT.encode())
    whole = encode(read_corpus(file, rules, max_chars=max_chars), rules)
    streamed = stream(file, rules, max_chars=max_chars, folder=tmp_path / "out")
    assert (streamed.vocabulary, streamed.sha256) == (whole.vocabulary, whole.sha256)
    assert streamed.indices.dtype == whole.indices.dtype
    assert np.array_equal(streamed.indices, whole.indices)
    assert not list((tmp_path / "out").iterdir())


def test_large_files_are_streamed_and_small_ones_are_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "text.txt"
    file.write_text("some text\n" * 10, encoding="utf-8")
    assert not isinstance(open_corpus(str(file), TextRules()).indices, np.memmap)
    monkeypatch.setattr(encoding, "LARGE_BYTES", 50)
    assert isinstance(open_corpus(str(file), TextRules()).indices, np.memmap)


def test_a_streamed_file_that_does_not_decode_is_an_error(tmp_path: Path) -> None:
    file = tmp_path / "text.txt"
    file.write_bytes(b"good \xff bad")
    with pytest.raises(CorpusError, match="is not utf-8"):
        stream(file, TextRules())


def test_indices_take_the_smallest_type() -> None:
    assert [index_type(n) for n in (1, 256, 257, 65536, 65537)] == [np.uint8, np.uint8, np.uint16, np.uint16, np.uint32]
