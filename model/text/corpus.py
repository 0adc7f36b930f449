"""From a file to the text a model is trained on: reading, decoding, normalising.

Knows nothing of indices or batches. Serving shares only the rules (`rules`): a prefix is normalised exactly as the
corpus was.
"""

from __future__ import annotations

import hashlib
import io
import zipfile
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from model.errors import CorpusError
from model.text.rules import TextRules

MAX_UNPACKED_BYTES = 64 * 1024 * 1024
MAX_ZIP_RATIO = 100
EMBEDDED = ("lyrics",)
_ENCRYPTED_FLAG = 0x1  # general purpose bit 0 of a zip member


@dataclass(frozen=True)
class Corpus:
    """A normalised text. `name` is for people, `sha256` is of the normalised text's UTF-8."""

    name: str
    text: str
    sha256: str


def read_corpus(
    source: str | Path, rules: TextRules | None = None, encoding: str = "utf-8", max_chars: int | None = None
) -> Corpus:
    """Reads an embedded corpus by name, a text file, or a zip that holds exactly one text file.

    max_chars cuts the text after normalisation, as the chapter's `corpus_chars[:20000]` does.

    Raises CorpusError for anything that cannot be read, with the offset of a byte that does not decode.
    """
    rules = rules or TextRules()
    check_max_chars(max_chars)
    name, written = read_text(source, encoding)
    text = rules.apply(written)[:max_chars]
    if not text:
        raise CorpusError(f"{name} is empty")
    return Corpus(name, text, hashlib.sha256(utf8(text, name)).hexdigest())


def read_text(source: str | Path, encoding: str = "utf-8") -> tuple[str, str]:
    """The name of a source and its text as it was written, before any rule. Raises as `read_corpus`."""
    name, data = _read_bytes(source)
    return name, decoded(data, "utf-8" if str(source) in EMBEDDED else encoding, name)


def check_max_chars(max_chars: int | None) -> None:
    if max_chars is not None and max_chars < 1:
        raise CorpusError(f"max_chars: {max_chars} must be at least 1")


def utf8(text: str, name: str) -> bytes:
    """The bytes that a text's digest is of. Raises CorpusError for what some encodings decode to and none can show."""
    try:
        return text.encode()
    except UnicodeEncodeError as error:
        raise CorpusError(f"{name}: holds half of a surrogate pair (U+{ord(text[error.start]):04X})") from None


def _read_bytes(source: str | Path) -> tuple[str, bytes]:
    if str(source) in EMBEDDED:
        # An embedded corpus goes before a file of the same name; "./lyrics" names the file.
        return str(source), resources.files("model.text").joinpath("corpora").joinpath(f"{source}.txt").read_bytes()
    path = Path(source)
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise CorpusError(
            f"{path}: no such file, and no embedded corpus of that name ({', '.join(EMBEDDED)})"
        ) from None
    except OSError as error:
        raise CorpusError(f"{path}: cannot be read ({error.strerror})") from error
    if data.startswith(b"PK\x03\x04") or data.startswith(b"PK\x05\x06"):
        data = _unzip(data, path.name)
    return path.name, data


def _unzip(data: bytes, name: str) -> bytes:
    """The one member of a zip, read in memory; nothing is extracted to disk."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            members = [m for m in archive.infolist() if not m.is_dir()]
            if len(members) != 1:
                raise CorpusError(f"{name}: a zip must hold exactly one text file, this one holds {len(members)}")
            (member,) = members
            if member.flag_bits & _ENCRYPTED_FLAG:
                raise CorpusError(f"{name}: its member is encrypted; unpack it first")
            if member.file_size > MAX_ZIP_RATIO * max(member.compress_size, 1):
                raise CorpusError(f"{name}: its member grows more than {MAX_ZIP_RATIO} times when unpacked")
            # The sizes in a zip's directory are claims; read one byte past the bound and look.
            with archive.open(member) as file:
                text = file.read(MAX_UNPACKED_BYTES + 1)
    except (zipfile.BadZipFile, NotImplementedError, EOFError, OSError, RuntimeError, ValueError) as error:
        raise CorpusError(f"{name}: is not a readable zip ({error})") from error
    if len(text) > MAX_UNPACKED_BYTES:
        raise CorpusError(f"{name}: unpacks to more than {MAX_UNPACKED_BYTES // 2**20} MB")
    if len(text) > MAX_ZIP_RATIO * len(data):
        raise CorpusError(f"{name}: its member grows more than {MAX_ZIP_RATIO} times when unpacked")
    if text.startswith(b"PK\x03\x04"):
        raise CorpusError(f"{name}: holds another zip; unpack it first")
    return text


def codec_of(encoding: str) -> str:
    """The codec that reads an encoding; that of UTF-8 leaves a byte order mark out. Raises CorpusError for none."""
    codec = "utf-8-sig" if encoding.lower().replace("_", "-") in ("utf-8", "utf8") else encoding
    try:
        b"a".decode(codec)
    except LookupError:
        raise CorpusError(f"encoding: {encoding!r} is not one that Python knows (utf-8, gb18030, utf-16, …)") from None
    except UnicodeError:  # of an encoding that has more bytes than one to a character
        pass
    return codec


def decoded(data: bytes, encoding: str, name: str) -> str:
    """The text of a source of that name. Raises CorpusError with the offset of a byte that does not decode."""
    codec = codec_of(encoding)
    try:
        return data.decode(codec)
    except UnicodeDecodeError as error:
        # utf-8-sig counts from behind the byte order mark.
        mark = 3 if codec == "utf-8-sig" and data.startswith(b"\xef\xbb\xbf") else 0
        at = error.start + mark
        raise CorpusError(
            f"{name}: byte 0x{data[at]:02x} at offset {at} is not {encoding}; name the file's encoding with --encoding"
        ) from None
    except UnicodeError as error:
        raise CorpusError(f"{name}: is not {encoding} ({error})") from None
