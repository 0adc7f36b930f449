"""What kind of file a document is, by its first bytes, and what to do about the kinds that hold no text to read.

A name that ends in `.txt` says that markup is to be read as it stands.
"""

from __future__ import annotations

import re
from typing import Literal

from model.errors import CorpusError

Kind = Literal["text", "zip", "gzip", "docx", "epub", "html"]
ZIPPED = ("docx", "epub")  # kinds that are zips
_AS_TEXT = "save it as plain text, and give that"
_UNPACK = "unpack it, and give the file or the folder"
_NO_TEXT = "it holds no text that can be read"
_SIGNATURES: tuple[tuple[int, bytes, str, str], ...] = (  # offset, bytes, what it is, what to do
    (0, b"%PDF-", "a PDF file", "take its text out (pdftotext FILE.pdf), and give that"),
    (0, b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "a file of an old Word, Excel or PowerPoint", _AS_TEXT),
    (0, b"7z\xbc\xaf\x27\x1c", "a 7z archive", _UNPACK),
    (0, b"Rar!\x1a\x07", "a RAR archive", _UNPACK),
    (0, b"\xfd7zXZ\x00", "packed by xz", f"{_UNPACK} (unxz FILE)"),
    (0, b"BZh", "packed by bzip2", f"{_UNPACK} (bunzip2 FILE)"),
    (0, b"\x28\xb5\x2f\xfd", "packed by zstd", f"{_UNPACK} (unzstd FILE)"),
    (257, b"ustar", "a tar archive", f"{_UNPACK} (tar xf FILE)"),
    (0, b"SQLite format 3\x00", "an SQLite database", "write its texts to a file, and give that"),
    (0, b"\x89PNG\r\n\x1a\n", "a PNG picture", _NO_TEXT),
    (0, b"\xff\xd8\xff", "a JPEG picture", _NO_TEXT),
    (0, b"GIF8", "a GIF picture", _NO_TEXT),
    (0, b"RIFF", "a sound or video file", _NO_TEXT),
    (0, b"ID3", "a sound file", _NO_TEXT),
    (0, b"OggS", "a sound file", _NO_TEXT),
    (4, b"ftyp", "a video file", _NO_TEXT),
    (0, b"\x7fELF", "a program", _NO_TEXT),
    (0, b"MZ\x90\x00", "a program", _NO_TEXT),
    (0, b"\x93NUMPY", "an array of NumPy", _NO_TEXT),
    (0, b"bplist00", "a property list", "write it as XML or text (plutil), and give that"),
)
_RTF = b"{\\rtf"
_HTML = re.compile(rb"\s*(<\?xml[^>]*>\s*)?(<!--.*?-->\s*)*<(!doctype\s+html|html)\b", re.I | re.S)
_HTML_BYTES = 4096
_MEMBER = re.compile(rb"PK\x03\x04.{22}(..)(..)", re.S)  # lengths of a member's name and of what follows it
_OFFICE = frozenset({b"[Content_Types].xml", b"_rels/.rels"})  # Word writes the one first, LibreOffice the other
_OPEN_DOCUMENT = b"application/vnd.oasis.opendocument"


def kind_of(name: str, head: bytes) -> Kind:
    """head: the first bytes, as many as are at hand. Raises CorpusError that says what the file is and what to do."""
    if head.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        return _of_zip(name, head)
    if head.startswith(b"\x1f\x8b"):
        return "gzip"
    for offset, signature, what, advice in _SIGNATURES:
        if head.startswith(signature, offset) and not (signature.isalnum() and _is_text(head)):
            raise CorpusError(f"{name}: is {what}; {advice}")
    if name.lower().endswith(".txt"):
        return "text"
    if head.startswith(_RTF):
        raise CorpusError(f"{name}: is a file in RTF; {_AS_TEXT} (a name in .txt trains on the markup as it stands)")
    # A character of UTF-16 is a zero and one of ASCII; its mark is none of them.
    start = head[:_HTML_BYTES].replace(b"\0", b"").lstrip(b"\xef\xbb\xbf\xff\xfe")
    return "html" if _HTML.match(start) else "text"


def _is_text(head: bytes) -> bool:
    """Whether letters at the beginning are those of a text."""
    return head[:64].isascii() and b"\0" not in head[:64]


def _of_zip(name: str, head: bytes) -> Kind:
    names = _names(head)
    if not names or names[0] == b"":
        return "zip"
    if names[0] == b"mimetype":
        if b"application/epub+zip" in head[:128]:
            return "epub"
        if _OPEN_DOCUMENT in head[:256]:
            raise CorpusError(f"{name}: is a file of LibreOffice (OpenDocument); {_AS_TEXT}")
    if not _OFFICE.isdisjoint(names):
        if any(one.startswith(b"xl/") for one in names):
            raise CorpusError(f"{name}: is an Excel file; save it as CSV or plain text, and give that")
        if any(one.startswith(b"ppt/") for one in names):
            raise CorpusError(f"{name}: is a PowerPoint file; {_AS_TEXT}")
        return "docx"
    return "zip"


def _names(head: bytes) -> list[bytes]:
    """Names of the members whose heads stand there."""
    names = []
    for found in _MEMBER.finditer(head):
        length = int.from_bytes(found[1], "little")
        names.append(head[found.end() : found.end() + length])
    return names
