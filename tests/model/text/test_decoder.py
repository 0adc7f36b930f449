from __future__ import annotations

import codecs
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model.errors import CorpusError
from model.text.decoder import TextDecoder
from model.text.guess import guess

LINES = {
    "gb18030": "巷口的灯还亮着，\n我把伞留给了你，自己淋着雨走回家。\n",
    "cp950": "巷口的燈還亮著，\n我把傘留給了妳，自己淋著雨走回家。\n",
    "cp932": "駅の前で待っている。\nまだ雨がやまないので、傘を貸した。\n",
    "euc_jp": "駅の前で待っている。\nまだ雨がやまないので、傘を貸した。\n",
    "cp949": "골목 끝에서 기다릴게.\n비가 그치면 같이 집에 가자고 했다.\n",
    "koi8_u": "Фонарь на углу ещё горит.\nЯ оставил тебе зонт и пошёл домой.\n",
    "cp1251": "Фонарь на углу ещё горит.\nЯ оставил тебе зонт и пошёл домой.\n",
    "cp866": "Фонарь на углу ещё горит.\nЯ оставил тебе зонт и пошёл домой.\n",
    "cp1253": "Το φανάρι ανάβει ακόμα.\nΣου άφησα την ομπρέλα και έφυγα.\n",
    "cp1255": "הפנס בפינה עדיין דולק.\nהשארתי לך את המטרייה והלכתי הביתה.\n",
    "cp1256": "المصباح في الزاوية ما زال مضاء.\nتركت لك المظلة وعدت إلى البيت.\n",
    "cp874": "ไฟตรงหัวมุมยังสว่างอยู่\nฉันทิ้งร่มไว้ให้เธอแล้วเดินกลับบ้าน\n",
    "cp1250": "Latarnia jeszcze świeci.\nZostawiłem ci parasol, już późno, więc idę.\n",
    "cp1252": "Le café est fermé.\nÀ demain, sous l’orme, près de l’école.\n",
    "cp1254": "Köşedeki lamba hâlâ yanıyor.\nŞemsiyeyi sana bıraktım, yağmur dindi.\n",
    "cp1257": "Žibintas kampe dar dega.\nPalikau tau skėtį ir išėjau namo, jau vėlu.\n",
}


def decoded(data: bytes, encoding: str = "utf-8", errors: str = "strict", cuts: list[int] | None = None) -> TextDecoder:
    """The decoder when all is read, with the text as its name."""
    edges = sorted({0, len(data), *(cut % (len(data) + 1) for cut in cuts or [])})
    decoder = TextDecoder("a.txt", encoding, errors, data[:65536])
    pieces = [decoder.decode(data[start:end]) for start, end in pairwise(edges)]
    decoder._name = "".join([*pieces, decoder.decode(b"", final=True)])
    return decoder


def refusal(data: bytes, encoding: str = "utf-8", errors: str = "strict") -> str:
    with pytest.raises(CorpusError) as error:
        decoded(data, encoding, errors)
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.mark.parametrize("encoding", LINES)
def test_an_encoding_is_guessed_and_taken_by_auto(encoding: str) -> None:
    text = LINES[encoding]
    found = guess(text.encode(encoding))
    assert found is not None
    assert (found.encoding, found.text.rstrip("\n")) == (encoding, text.rstrip("\n"))
    read = decoded(text.encode(encoding), "auto")
    assert (read._name, read.encoding) == (text, codecs.lookup(encoding).name)
    assert f"--encoding {encoding.replace('_', '-')}" in refusal(text.encode(encoding)).replace("_", "-")


@settings(max_examples=60)
@given(st.sampled_from([*LINES, "utf-8", "utf-16", "utf-32", "iso2022_jp"]), st.lists(st.integers(0, 10**6)))
def test_a_text_cut_anywhere_is_the_whole(encoding: str, cuts: list[int]) -> None:
    text = LINES.get(encoding, LINES["euc_jp"]) * 3
    read = decoded(text.encode(encoding), encoding, cuts=cuts)
    assert (read._name, read.replaced, read.marks) == (text, 0, 0)


@settings(max_examples=60)
@given(st.text(st.sampled_from("a分é\ufeff\n")), st.booleans(), st.lists(st.integers(0, 10**6)))
def test_marks_are_left_out_and_counted_but_for_the_first(text: str, marked: bool, cuts: list[int]) -> None:
    read = decoded((b"\xef\xbb\xbf" if marked else b"") + text.encode(), cuts=cuts)
    assert read._name == text.replace("\ufeff", "")
    assert read.marks == text.count("\ufeff") - (not marked and text.startswith("\ufeff"))


@settings(max_examples=60)
@given(st.lists(st.sampled_from([b"\xff", b"\xc3", "分".encode(), b"a", "\ufffd".encode()])), st.lists(st.integers(0)))
def test_what_does_not_decode_is_replaced_and_counted(parts: list[bytes], cuts: list[int]) -> None:
    data = b"".join(parts)
    read = decoded(data, errors="replace", cuts=cuts)
    assert read._name == data.decode("utf-8", "replace")
    assert read.replaced == read._name.count("\ufffd") - data.count("\ufffd".encode())


@pytest.mark.parametrize("before", [0, 70_000, 1_500_000])
def test_a_fault_is_told_as_well_after_a_megabyte_as_at_the_beginning(before: int) -> None:
    data = b"x" * 79 + b"\n"
    data = data * (before // 80) + LINES["gb18030"].encode("gb18030")
    decoder = TextDecoder("a.txt", "utf-8", "strict", data[:65536])
    last = len(data) // 2**20 * 2**20
    for at in range(0, last, 2**20):
        decoder.decode(data[at : at + 2**20])
    with pytest.raises(CorpusError) as error:
        decoder.decode(data[last:])
    offset = before // 80 * 80
    assert f"at offset {offset:,} is not UTF-8; the text looks like GB18030: 巷口的灯还亮着" in str(error.value)


@pytest.mark.parametrize(
    ("data", "encoding", "said"),
    [
        (
            "“It’s late.”\n".encode("cp1252"),
            "latin-1",
            "(U+0093 ×1, U+0092 ×1, U+0094 ×1); it is likelier windows-1252",
        ),
        ("Тише, “цитата” и ещё десяток букв".encode(), "cp1252", "it looks like UTF-8: Тише, “цитата”"),
        ("plain words and more of them\n".encode("utf-16-le"), "utf-8", "it looks like UTF-16-LE: plain words"),
        ("plain words and more of them\n".encode("utf-32-be"), "utf-8", "it looks like UTF-32-BE: plain words"),
        ("plain words and more of them\n".encode("utf-16-be"), "utf-16", "it looks like UTF-16-BE: plain words"),
        ("plain words and more of them\n".encode("utf-16-le"), "utf-16", "it looks like UTF-16-LE: plain words"),
        (LINES["euc_jp"].encode("iso2022_jp"), "ascii", "it looks like ISO2022-JP: 駅の前で"),
        (LINES["euc_jp"].encode("utf-7"), "utf-8", "it looks like UTF-7: 駅の前で"),
        (
            b"\x80\x81\xfe\xff\x00" * 9,
            "auto",
            "is not UTF-8, and its encoding cannot be guessed; name it with --encoding",
        ),
        (b"ab\0c", "utf-8", "holds NUL characters (U+0000), as no text does"),
        (b"caf\xe9\r\nBlume\r\n", "utf-8", "the text looks like windows-1252: café (--encoding cp1252)"),
        (b"caf\xe9", "ascii", "byte 0xe9 at offset 3 is not ASCII; the text looks like windows-1252: café"),
    ],
)
def test_what_would_be_read_wrongly_is_named(data: bytes, encoding: str, said: str) -> None:
    assert said in refusal(data, encoding)


@pytest.mark.parametrize(
    "text", ["a+b-c 1+2=3 x+yz- f(a+bcd)\n" * 20, "C++ +1 +49-30-123456\n" * 20, "[$B] {~} ~{\n" * 20]
)
def test_what_only_looks_like_another_encoding_is_read(text: str) -> None:
    assert decoded(text.encode())._name == text


@pytest.mark.parametrize("encoding", ["", "nonsense", "rot13", "base64", "idna", "punycode", "undefined", "a\0b", "é"])
def test_an_encoding_that_is_none_is_named(encoding: str) -> None:
    said = refusal(b"abc", encoding)
    assert said.startswith("encoding: ")
    assert "is not one that Python knows" in said


def test_errors_are_strict_or_replaced() -> None:
    assert refusal(b"abc", errors="ignore") == "errors: 'ignore' is not one of strict, replace"


def test_auto_waits_for_the_first_byte_that_tells() -> None:
    data = b"0123456789\n" * 10_000 + LINES["cp1251"].encode("cp1251")
    decoder = TextDecoder("a.txt", "auto", "strict", data[:65536])
    text = "".join(decoder.decode(data[at : at + 50_000]) for at in range(0, len(data), 50_000))
    assert (text, decoder.encoding) == (data.decode("cp1251"), "cp1251")
