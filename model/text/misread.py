"""Bytes that some encoding reads without an error and that are not in it. Knows nothing of files.

UTF-16 without a mark is read as UTF-8 where it is English, ISO-2022-JP and UTF-7 are ASCII to everybody else, and
latin-1 reads whatever there is.
"""

from __future__ import annotations

import codecs
import re
import unicodedata
from collections import Counter

from model.text.guess import Guess, readable

_BY_MARK = (  # UTF-32 first: its mark begins with that of UTF-16
    (codecs.BOM_UTF32_LE, "utf_32"), (codecs.BOM_UTF32_BE, "utf_32"), (codecs.BOM_UTF16_LE, "utf_16"),
    (codecs.BOM_UTF16_BE, "utf_16"), (codecs.BOM_UTF8, "utf_8"),
)  # fmt: skip
_FEW, _MOST = 0.1, 0.4  # shares of the bytes in odd or even places that are zero
_ISO_2022_JP = re.compile(rb"\x1b(\$[@B]|\([BJ])")
_UTF_7 = re.compile(rb"\+[A-Za-z0-9+/]{3,}-?")
_MANY = 10  # characters of several bytes each
_SHORTEST = 8  # bytes, below which nothing is told by where zeros stand


def misread(sample: bytes, encoding: str) -> Guess | None:
    """What a sample is in, where this encoding would read it wrongly and say nothing."""
    codec = codecs.lookup(encoding).name.replace("-", "_")
    if codec in ("utf_16", "utf_32"):
        return None if by_mark(sample) else _without_mark(sample, codec)
    if codec.startswith(("utf_16", "utf_32")):
        return None
    if not codec.startswith("utf") and _is_surely_utf8(sample):
        return _read(sample, "utf_8")
    if b"\0" in sample and len(sample) >= _SHORTEST and (wide := wide_without_mark(sample)) is not None:
        return wide
    if codec in ("utf_8", "ascii", "latin_1", "iso8859_1", "cp1252") and sample.isascii():
        return _seven_bits(sample)
    return None


def by_mark(head: bytes) -> str | None:
    """The codec that a byte order mark tells; None where there is none."""
    return next((codec for mark, codec in _BY_MARK if head.startswith(mark)), None)


def wide_without_mark(sample: bytes) -> Guess | None:
    """UTF-16 or UTF-32 without a byte order mark, which is told by where the zero bytes stand."""
    zeros = [sample[at::4].count(0) / max(len(sample[at::4]), 1) for at in range(4)]
    if min(zeros[2:]) > _MOST and zeros[0] < _FEW:
        return _read(sample, "utf_32_le")
    if min(zeros[:2]) > _MOST and zeros[3] < _FEW:
        return _read(sample, "utf_32_be")
    even, odd = (sample[at::2].count(0) for at in (0, 1))
    found = "utf_16_le" if odd > 2 * even else "utf_16_be" if even > 2 * odd else None
    return _read(sample, found) if found and _letters(sample, found) > _MOST else None


def _is_surely_utf8(sample: bytes) -> bool:
    """Two such characters may be by chance in another encoding, MANY are not."""
    text = readable(sample, "utf_8")
    return text is not None and sum(c > "\x7f" for c in text) >= _MANY


def c1_controls(text: str) -> Counter[str]:
    """Control characters that no text has. Each is what a code page has for a letter or a quotation mark."""
    return Counter(c for c in text if "\x80" <= c <= "\x9f" and c != "\x85")


def _without_mark(sample: bytes, codec: str) -> Guess | None:
    """Which end comes first, where no mark says it."""
    little, big = (_letters(sample, f"{codec}_{end}") for end in ("le", "be"))
    return _read(sample, f"{codec}_be" if big > little else f"{codec}_le")


def _letters(sample: bytes, encoding: str) -> float:
    """How likely it is text: the share of its characters that are in the commonest two blocks of 256, or spaces."""
    text = readable(sample, encoding)
    if not text:
        return 0.0
    blocks = Counter(ord(c) >> 8 for c in text if unicodedata.category(c)[0] in "LMNPZ" or c in "\r\n\t")
    return sum(count for _, count in blocks.most_common(2)) / len(text)


def _seven_bits(sample: bytes) -> Guess | None:
    if _ISO_2022_JP.search(sample):
        for encoding in ("iso2022_jp", "iso2022_jp_2", "iso2022_kr"):
            if (found := _read(sample, encoding)) is not None:
                return found
    if sum(map(len, _UTF_7.findall(sample))) >= _MANY:
        found = _read(sample, "utf_7")
        if found is not None and sum(c > "\x7f" and c.isalpha() for c in found.text) >= _MANY:
            return found
    return None


def _read(sample: bytes, encoding: str) -> Guess | None:
    text = readable(sample, encoding)
    return None if text is None or (text.isascii() and not encoding.startswith("utf_")) else Guess(encoding, text)
