"""What kind of file it is, by its first bytes."""

from __future__ import annotations

from model.errors import CorpusError


def kind_of(name: str, head: bytes) -> str:
    if head.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        return "zip"
    if head.startswith(b"\x1f\x8b"):
        return "gzip"
    if b"\0" in head and not head.startswith((b"\xff\xfe", b"\xfe\xff")) and b"\0\0\0\0" in head:
        raise CorpusError(f"{name}: is binary")
    return "text"
