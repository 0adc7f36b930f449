"""A text's bytes to characters, piece by piece."""

from __future__ import annotations

import codecs

from model.errors import CorpusError

MARK = "\ufeff"


class TextDecoder:
    """encoding: the one really used. marks: byte order marks inside, left out. replaced: what did not decode."""

    def __init__(self, name: str, encoding: str, errors: str, head: bytes) -> None:
        self.encoding, self.replaced, self.marks = encoding, 0, 0
        self._name, self._read = name, 0
        codec = _codec_of(encoding)
        # That codec counts from behind the mark.
        self._skipped = 3 if codec == "utf-8-sig" and head.startswith(codecs.BOM_UTF8) else 0
        self._decoder = codecs.getincrementaldecoder(codec)(errors)

    def decode(self, data: bytes, final: bool = False) -> str:
        waiting = len(self._decoder.getstate()[0])
        try:
            text = self._decoder.decode(data, final)
        except UnicodeDecodeError as error:
            at = self._read - waiting + error.start + (self._skipped if self._read - waiting < self._skipped else 0)
            raise CorpusError(
                f"{self._name}: byte 0x{error.object[error.start]:02x} at offset {at} is not {self.encoding}; name the "
                "file's encoding with --encoding"
            ) from None
        except UnicodeError as error:
            raise CorpusError(f"{self._name}: is not {self.encoding} ({error})") from None
        self._read += len(data)
        self.marks += text.count(MARK)
        return text.replace(MARK, "")


def _codec_of(encoding: str) -> str:
    codec = "utf-8-sig" if encoding.lower().replace("_", "-") in ("utf-8", "utf8") else encoding
    try:
        b"a".decode(codec)
    except LookupError:
        raise CorpusError(f"encoding: {encoding!r} is not one that Python knows (utf-8, gb18030, utf-16, …)") from None
    except UnicodeError:  # of an encoding that has more bytes than one to a character
        pass
    return codec
