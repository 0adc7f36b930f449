"""A document's bytes to characters, piece by piece, and what to do about bytes that are not in its encoding.

Longer than most: a message names the same encoding whether the fault is in the first byte or after a gigabyte.
"""

from __future__ import annotations

import codecs

from model.errors import CorpusError, show
from model.text.guess import SAMPLE_BYTES, Guess, guess, readable, wider
from model.text.misread import by_mark, c1_controls, misread

MARK = "\ufeff"
AUTO = "auto"
ERRORS = ("strict", "replace")
_REPLACEMENT, _REPLACED = "\ufffd", "\udc80"  # half a surrogate pair, which no decoder gives of itself
_HANDLER = "nextchar.replace"
_NOT_OF_TEXTS = ("idna", "punycode", "unicode-escape", "raw-unicode-escape")
_SHOWN = 24  # characters of a line that a message shows
_BEFORE = SAMPLE_BYTES // 2  # of the bytes around a fault
_LETTERS_OF_ANY_BYTE = ("latin_1", "iso8859")  # encodings that read a code page's letters as control characters


class TextDecoder:
    """Reads one document from its first byte to its last.

    - head: its first bytes, as many as are at hand, by which a mark and a wrong encoding are told.
    - encoding: the one that is really used, by the name that Python has.
    - replaced: how many faults became U+FFFD.
    - marks: byte order marks that stood inside; they are left out.

    Raises CorpusError for an encoding that there is not, and for a text that is in another one.
    """

    def __init__(self, name: str, encoding: str, errors: str, head: bytes) -> None:
        if errors not in ERRORS:
            raise CorpusError(f"errors: {show(errors)} is not one of {', '.join(ERRORS)}")
        self._name, self._given, self._errors, self._head = name, encoding, errors, head
        self.replaced = self.marks = 0
        self._read = 0  # bytes
        self._begun = False  # whether a mark that comes now stands inside
        codecs.register_error(_HANDLER, _replace)
        codec = by_mark(head) if _is_utf8(encoding) or encoding == AUTO else None
        if codec is None:
            codec = self._auto(head) if encoding == AUTO else codec_of(encoding)
            self._check_misread(head, codec)
        self._use(codec)
        self._open = encoding == AUTO and head.isascii()  # whether all so far was ASCII, and any encoding may follow

    def decode(self, data: bytes, final: bool = False) -> str:
        """The characters of the next bytes, cut anywhere; final: none follow."""
        if self._open and not data.isascii():
            self._open = False
            if (found := self._auto(data)) != "utf_8":
                self._use(found)
        try:
            text = self._decoder.decode(data, final)
        except UnicodeDecodeError as error:
            raise self._fault(self._read + len(data), error) from None
        except UnicodeError as error:
            raise CorpusError(f"{self._name}: is not {self.encoding} ({error})") from None
        self._check_characters(text)
        self._read += len(data)
        if text and not self._begun:
            self._begun = True
            text = text.removeprefix(MARK)
        if MARK in text:
            self.marks += text.count(MARK)
            text = text.replace(MARK, "")
        if _REPLACED in text:
            self.replaced += text.count(_REPLACED)
            text = text.replace(_REPLACED, _REPLACEMENT)
        return text

    def _use(self, codec: str) -> None:
        self.encoding = codecs.lookup(codec).name
        self._begun = codec in ("utf_16", "utf_32")  # which take their own mark away
        self._decoder = codecs.getincrementaldecoder(codec)("strict" if self._errors == "strict" else _HANDLER)

    def _auto(self, sample: bytes) -> str:
        if misread(sample, "utf-8") is None and readable_as_utf8(sample):
            return "utf_8"
        found = misread(sample, "utf-8") or guess(sample)
        if found is None:
            raise CorpusError(
                f"{self._name}: is not UTF-8, and its encoding cannot be guessed; name it with --encoding"
            )
        return found.encoding

    def _check_misread(self, head: bytes, codec: str) -> None:
        found = misread(head, codec)
        if found is not None and codecs.lookup(found.encoding).name != codecs.lookup(codec).name:
            raise CorpusError(f"{self._name}: is not {_label(codec)}; it {_looks_like(found)}")

    def _check_characters(self, text: str) -> None:
        """Control characters that no text has, where they tell of a wrong encoding."""
        if self._errors != "strict":
            return
        if "\0" in text:
            raise CorpusError(
                f"{self._name}: holds NUL characters (U+0000), as no text does; it is a binary file, or not in "
                f"{_label(self.encoding)}"
            )
        if self.encoding.startswith(_LETTERS_OF_ANY_BYTE) and (found := c1_controls(text)):
            right = "utf-8" if readable_as_utf8(text.encode(self.encoding)) else wider(self.encoding)
            named = ", ".join(f"U+{ord(c):04X} ×{n:,}" for c, n in found.most_common(3))
            raise CorpusError(
                f"{self._name}: read as {_label(self.encoding)} it holds control characters, which no text has "
                f"({named}); it is likelier {_label(right)}: --encoding {right}"
            )

    def _fault(self, read: int, error: UnicodeDecodeError) -> CorpusError:
        """`error.object` ends at byte `read`; what it begins with depends on the decoder."""
        data, at = error.object, error.start
        offset = read - len(data) + at
        said = f"{self._name}: byte 0x{data[at]:02x} at offset {offset:,} is not {_label(self.encoding)}"
        if offset < len(self._head) and len(data) < len(self._head):
            data, at = self._head, offset
        around = data[max(at - _BEFORE, 0) : at + _BEFORE]
        if at > _BEFORE:
            around = around[around.find(b"\n") + 1 :]  # no character is cut there
        found = self._likely(around)
        if found is None or (found.encoding == "utf_8" and self.encoding == "utf-8"):
            return CorpusError(
                f"{said}; name the text's encoding with --encoding, or get past it with --errors replace"
            )
        return CorpusError(f"{said}; the text {_looks_like(found)}")

    def _likely(self, around: bytes) -> Guess | None:
        if self.encoding == "utf-8" and self._is_utf8_but_for_a_fault(around):
            return None
        for encoding in (wider(self.encoding), "utf_8"):
            if codec_of(encoding) != codec_of(self.encoding) and (text := readable(around, encoding)) is not None:
                return Guess(encoding, text)
        return guess(around)

    def _is_utf8_but_for_a_fault(self, around: bytes) -> bool:
        """Whether most of what is beyond ASCII is UTF-8: two bytes of it by chance are seldom, many never."""
        text = around.decode("utf-8", "replace")
        faults = text.count(_REPLACEMENT)
        return sum(c > "\x7f" for c in text) - faults > 2 * faults


def codec_of(encoding: str) -> str:
    """The codec that reads an encoding. Raises CorpusError where there is none."""
    if _is_utf8(encoding):
        return "utf_8"
    try:
        found = codecs.lookup(encoding)
        if found.name in _NOT_OF_TEXTS or not found._is_text_encoding or found.incrementaldecoder is None:
            raise LookupError
        "".encode(encoding)
    except (LookupError, ValueError, UnicodeError):  # ValueError: of a NUL in the name
        raise CorpusError(
            f"encoding: {show(encoding)} is not one that Python knows (utf-8, gb18030, utf-16, …; auto takes a guess)"
        ) from None
    return found.name


def readable_as_utf8(sample: bytes) -> bool:
    try:
        codecs.getincrementaldecoder("utf-8")().decode(sample)
    except UnicodeDecodeError:
        return False
    return True


def _is_utf8(encoding: str) -> bool:
    return encoding.lower().replace("_", "-") in ("utf-8", "utf8", "utf-8-sig", "u8")


def _replace(error: UnicodeError) -> tuple[str, int]:
    assert isinstance(error, UnicodeDecodeError)
    return _REPLACED, error.end


def _label(encoding: str) -> str:
    """An encoding as people write it."""
    return encoding.upper().replace("_", "-").replace("CP125", "windows-125").replace("ISO8859", "ISO-8859")


def _looks_like(found: Guess) -> str:
    encoding = codecs.lookup(found.encoding).name
    beyond = next((at for at, c in enumerate(found.text) if c > "\x7f"), 0)
    start = found.text.rfind("\n", 0, beyond) + 1
    start = start if beyond - start < _SHOWN // 2 else beyond
    line = found.text[start:].split("\n")[0].strip()
    shown = show(line[:_SHOWN])[1:-1] + ("…" if len(line) > _SHOWN else "")
    return f"looks like {_label(encoding)}: {shown} (--encoding {encoding})"
