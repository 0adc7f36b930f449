"""Which encoding bytes are likely in, of a text that is not UTF-8. Knows nothing of files.

charset-normalizer guesses; it is helped where a text is short and a plain sign of its script tells more: Japanese has
kana, Hebrew has no letter in the last five places of its code page, and letters with marks tell languages of Latin
script apart.
"""

from __future__ import annotations

import codecs
import logging
import unicodedata
from dataclasses import dataclass

SAMPLE_BYTES = 2**14
_KANA_SHARE = 0.2  # of the characters beyond ASCII, above which a text is Japanese
_LATIN_SHARE = 0.4  # of the bytes that are letters of ASCII, above which a text is in Latin script
_HEBREW_LETTERS = 30  # so many without one of the five are no Cyrillic text
_WIDER = {  # what is read instead: it holds all of the other, and more than that in the same places
    "ascii": "cp1252", "gb2312": "gb18030", "gbk": "gb18030", "shift_jis": "cp932", "shift_jis_2004": "cp932",
    "shift_jisx0213": "cp932", "euc_jis_2004": "euc_jp", "euc_jisx0213": "euc_jp", "euc_kr": "cp949", "big5": "cp950",
    "latin_1": "cp1252", "iso8859_1": "cp1252", "iso8859_9": "cp1254", "tis_620": "cp874", "iso8859_11": "cp874",
    "cp1125": "cp866", "koi8_r": "koi8_u", "iso2022_jp": "iso2022_jp_1",
}  # fmt: skip
_SELDOM = ("mac_cyrillic", "mac_latin2", "mac_greek", "mac_turkish", "mac_iceland", "hp_roman8", "ptcp154", "kz1048")
_WESTERN = "àâæçéèêëîïôœùûüÿäößáíóúñãõåøìò"
_EASTERN = "ąćęłńóśźżáčďéěíňřšťúůýžőűăâîşţ"
_BY_LETTERS = {  # of the languages that are written in each
    "cp1252": _WESTERN, "cp1250": _EASTERN, "cp1254": "çğıöşüâîûİ", "cp1257": "ąčęėįšųūžāēģīķļņ", "iso8859_2": _EASTERN,
    "mac_roman": _WESTERN, "cp850": _WESTERN,
}  # fmt: skip
_SIGNS = "“”‘’„–—…«»€°"


@dataclass(frozen=True)
class Guess:
    """encoding: as Python has it. text: the sample as it reads then."""

    encoding: str
    text: str


def guess(sample: bytes) -> Guess | None:
    """The likely encoding of bytes that are not UTF-8; None where there is no telling. The sample may end anywhere.

    Lines of ASCII alone tell nothing; the text of a guess is without them.
    """
    lines = [line for line in sample.split(b"\n") if not line.isascii()]
    sample = b"\n".join(lines)[:SAMPLE_BYTES]
    for encoding in ("euc_jp", "cp932"):
        text = readable(sample, encoding)
        if text is not None and _share(text, "HIRAGANA", "KATAKANA") > _KANA_SHARE:
            return Guess(encoding, text)
    found = _library(sample)
    if found is None:
        return None
    if _share(found.text, "CYRILLIC") > 0.5 and (hebrew := _as_hebrew(sample)) is not None:
        return hebrew
    latin = sum(c.isascii() and c.isalpha() for c in found.text) > _LATIN_SHARE * len(found.text)
    return _by_letters(sample, found) if latin else found


def readable(sample: bytes, encoding: str) -> str | None:
    """The sample in that encoding, but for a character that its end cuts; None where it is another."""
    try:
        text = codecs.getincrementaldecoder(encoding)().decode(sample)
    except (UnicodeError, LookupError):
        return None
    return None if any(_is_odd(c) for c in text) else text


def wider(encoding: str) -> str:
    """The encoding that holds all of this one and more, by the name that Python has; itself where there is none."""
    name = codecs.lookup(encoding).name.replace("-", "_")
    return _WIDER.get(name, name)


def _library(sample: bytes) -> Guess | None:
    import charset_normalizer  # half a tenth of a second, and few texts need it

    logging.getLogger("charset_normalizer").setLevel(logging.ERROR)
    found = charset_normalizer.from_bytes(sample, cp_exclusion=list(_SELDOM)) or charset_normalizer.from_bytes(sample)
    for match in found:  # the likeliest first
        for encoding in (wider(match.encoding), match.encoding):
            text = readable(sample, encoding)
            if text is not None and not text.isascii() and _share(text, "HALFWIDTH KATAKANA") < _KANA_SHARE:
                return Guess(encoding, text)
    return None


def _as_hebrew(sample: bytes) -> Guess | None:
    letters = [byte for byte in sample if byte >= 0xE0]
    if len(letters) < _HEBREW_LETTERS or max(letters) > 0xFA:
        return None
    text = readable(sample, "cp1255")
    return None if text is None else Guess("cp1255", text)


def _by_letters(sample: bytes, found: Guess) -> Guess:
    """Of the encodings of Latin script, the one in which most of what is beyond ASCII is a letter of its languages."""
    best, best_share = found, 0.0
    for encoding, letters in _BY_LETTERS.items():
        text = readable(sample, encoding)
        beyond = [c for c in text or "" if c > "\x7f"]
        if beyond:
            # A capital counts half: the wrong encoding puts them within words.
            share = sum(2 * (c in _SIGNS) + (c in letters) + (c.lower() in letters) for c in beyond) / len(beyond)
            if share > best_share:
                best, best_share = Guess(encoding, text or ""), share
    return best


def _share(text: str, *scripts: str) -> float:
    """Of the characters beyond ASCII, how many have a name that begins with one of these."""
    beyond = [c for c in text if c > "\x7f"]
    return sum(unicodedata.name(c, "").startswith(scripts) for c in beyond) / len(beyond) if beyond else 0.0


def _is_odd(character: str) -> bool:
    """A control character that no text has, or what stands for none."""
    return character not in "\t\n\r\f\v\x1a\x1b" and unicodedata.category(character) in ("Cc", "Co", "Cn", "Cs")
