"""One text in the ways that people store it."""

from __future__ import annotations

import gzip
import io
import unicodedata
import zipfile
from collections.abc import Callable, Mapping

MAC_JUNK = {
    "__MACOSX/": b"",
    "__MACOSX/._text.txt": b"\0\5\x16\7\0\2\0\0Mac OS X        \0\2",
    "._text.txt": b"\0\5\x16\7\0\2\0\0",
    ".DS_Store": b"\0\0\0\1Bud1\0\0",
}


def zipped(members: Mapping[str, bytes]) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return file.getvalue()


# From a text with LF in NFC to bytes; those that tell more than one name do so for --encoding.
CHARACTERS: dict[str, Callable[[str], str]] = {
    "LF": lambda text: text,
    "CR LF": lambda text: text.replace("\n", "\r\n"),
    "CR": lambda text: text.replace("\n", "\r"),
    "NFD": lambda text: unicodedata.normalize("NFD", text),
    "NFD and CR LF": lambda text: unicodedata.normalize("NFD", text).replace("\n", "\r\n"),
}
BYTES: dict[str, Callable[[str], bytes]] = {
    "UTF-8": str.encode,
    "a byte order mark": lambda text: text.encode("utf-8-sig"),
    "UTF-16 with one": lambda text: text.encode("utf-16"),
    "UTF-16 the other way": lambda text: b"\xfe\xff" + text.encode("utf-16-be"),
    "UTF-32 with one": lambda text: text.encode("utf-32"),
}
FILES: dict[str, Callable[[bytes], bytes]] = {
    "plain": lambda data: data,
    "zip": lambda data: zipped({"text.txt": data}),
    "a Mac's zip": lambda data: zipped({"text/": b"", "text/text.txt": data, **MAC_JUNK}),
    "gz": gzip.compress,
    "gz in two members": lambda data: gzip.compress(data[:7]) + gzip.compress(data[7:]),
}
