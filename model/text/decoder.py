"""A text's bytes to characters, piece by piece."""

from __future__ import annotations

import codecs

from model.errors import CorpusError


class TextDecoder:
    def __init__(self, name: str, encoding: str, errors: str, head: bytes) -> None:
        self.encoding, self.replaced, self.marks = encoding, 0, 0
        self._name, self._read, self._first = name, 0, True
        codec = "utf-8-sig" if encoding.lower().replace("_", "-") in ("utf-8", "utf8") else encoding
        try:
            b"a".decode(codec)
        except LookupError:
            raise CorpusError(
                f"encoding: {encoding!r} is not one that Python knows (utf-8, gb18030, utf-16, …)"
            ) from None
        except UnicodeError:
            pass
        self._decoder = codecs.getincrementaldecoder(codec)(errors)

    def decode(self, data: bytes, final: bool = False) -> str:
        try:
            text = self._decoder.decode(data, final)
        except UnicodeError as error:
            at = self._read + getattr(error, "start", 0)
            byte = f"byte 0x{data[at]:02x} at offset {at} " if at < len(data) else ""
            raise CorpusError(f"{self._name}: {byte}is not {self.encoding}; name it ({error})") from None
        self.marks += text.count("\ufeff")
        return text.replace("\ufeff", "")
