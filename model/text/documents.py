"""The text of documents that are no plain text: HTML, EPUB, and Word's .docx. What they look like is left out.

Two libraries do the reading: Beautiful Soup that of HTML, and mammoth that of .docx, which it turns into HTML.
"""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Callable, Iterator
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from model.errors import CorpusError, brief
from model.text.kinds import Kind

if TYPE_CHECKING:
    from bs4 import BeautifulSoup

MAX_UNPACKED_BYTES = 128 * 2**20  # of all members of a zip
_LEFT_OUT = frozenset({"head", "script", "style", "template", "noscript", "svg", "math", "object", "iframe"})
_INLINE = frozenset({
    "a", "abbr", "acronym", "b", "bdi", "bdo", "big", "cite", "code", "data", "del", "dfn", "em", "font", "i", "img",
    "ins", "kbd", "label", "mark", "q", "rp", "rt", "ruby", "s", "samp", "small", "span", "strike", "strong", "sub",
    "sup", "time", "tt", "u", "var", "wbr",
})  # fmt: skip
_CELLS = frozenset({"td", "th"})
# What stands for white space that is kept while the rest is put in order: three code points that no text may use.
_KEPT = str.maketrans("\n \t", "\ufdd0\ufdd1\ufdd2", "\r")
_GIVEN_BACK = str.maketrans("\ufdd0\ufdd1\ufdd2", "\n \t")
_XML = (".xml", ".rels", ".opf")


def text_of(kind: Kind, name: str, data: bytes) -> str:
    """One line end after each paragraph, heading, list item and row; cells of a row with tabs between them.

    kind: docx, epub or html. Raises CorpusError for what is damaged, too large, or not of that kind.
    """
    try:
        text = _READERS[kind](data)
    except CorpusError as error:
        raise CorpusError(f"{name}: {error}") from error
    except Exception as error:  # three libraries read it, of which each has errors of its own
        what = {"docx": "Word file", "epub": "EPUB", "html": "HTML page"}[kind]
        raise CorpusError(f"{name}: is not a readable {what} ({brief(error)}); save it as plain text") from error
    if not text.strip():
        raise CorpusError(f"{name}: holds no text")
    return text


def _html(data: bytes | str) -> str:
    return _plain(_soup(data))


def _docx(data: bytes) -> str:
    import mammoth

    for member, content in _members(data):
        # Word writes no entities of its own; what they grow to cannot be known.
        if member.endswith(_XML) and b"<!DOCTYPE" in content.replace(b"\0", b"")[:65536]:
            raise CorpusError(
                f"its {brief(member)} has a document type, which Word never writes; save it as plain text"
            )
    no_pictures = mammoth.images.img_element(lambda _: {})
    return _html(mammoth.convert_to_html(io.BytesIO(data), convert_image=no_pictures).value)


def _epub(data: bytes) -> str:
    """The chapters in the order in which they are read: container.xml names a package, whose spine is that order."""
    members = dict(_members(data))
    root = _soup(members["META-INF/container.xml"]).find("rootfile")
    package = PurePosixPath(_attribute(root, "full-path"))
    book = _soup(members[str(package)])
    places = {_attribute(item, "id"): item for item in book.find_all("item")}
    texts = []
    for chapter in book.find_all("itemref"):
        item = places[_attribute(chapter, "idref")]
        if "nav" not in str(item.get("properties", "")).split():
            texts.append(_html(members[_joined(package.parent, unquote(_attribute(item, "href")))]))
    return "".join(texts)


_READERS: dict[str, Callable[[bytes], str]] = {"docx": _docx, "epub": _epub, "html": _html}


def _members(data: bytes) -> Iterator[tuple[str, bytes]]:
    """Of a zip: names and contents, of texts and XML alone."""
    left = MAX_UNPACKED_BYTES
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        for member in archive.infolist():
            if member.is_dir() or not member.filename.endswith((*_XML, ".xhtml", ".html", ".htm")):
                continue
            with archive.open(member) as file:
                content = file.read(left + 1)
            left -= len(content)
            if left < 0:
                raise CorpusError(f"unpacks to more than {MAX_UNPACKED_BYTES // 2**20} MB; save it as plain text")
            yield member.filename, content


def _joined(folder: PurePosixPath, href: str) -> str:
    """A member's name from where it is named: `../text/one.xhtml`."""
    parts: list[str] = []
    for part in (folder / href.partition("#")[0]).parts:
        if part != "..":
            parts.append(part)
        elif parts:
            parts.pop()
    return "/".join(parts)


def _attribute(element: Any, name: str) -> str:
    if element is None or not element.get(name):
        raise CorpusError(f"is not a readable EPUB (it has no {name})")
    return str(element[name])


def _soup(data: bytes | str) -> BeautifulSoup:
    import warnings

    from bs4 import BeautifulSoup, XMLParsedAsHTMLWarning

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", XMLParsedAsHTMLWarning)  # XHTML is read as HTML
        return BeautifulSoup(data, "html.parser")


def _plain(soup: BeautifulSoup) -> str:
    """What a page says, without recursion: pages are nested as deeply as somebody likes."""
    from bs4.element import NavigableString, PreformattedString, Tag

    pieces: list[str] = []
    waiting: list[tuple[Any, bool]] = [(soup, False)]
    while waiting:
        node, kept = waiting.pop()  # kept: spaces and line ends are as they are written
        if isinstance(node, Tag) and node.name not in _LEFT_OUT:
            edge = "" if node.name in _INLINE else "\t" if node.name in _CELLS else "\n"
            pieces.append(edge)
            waiting.append((edge, False))
            waiting.extend((child, kept or node.name == "pre") for child in reversed(node.contents))
        elif isinstance(node, NavigableString):
            if not isinstance(node, PreformattedString):  # comments, document types
                pieces.append(node.translate(_KEPT) if kept else re.sub(r"[ \t\r\n\f]+", " ", node))
        elif isinstance(node, str):
            pieces.append(node)  # what stands behind an element
    text = re.sub(r" *\t[ \t]*", "\t", "".join(pieces))
    text = re.sub(r"[ \t]*\n\s*", "\n", text).strip("\n \t")
    return text.translate(_GIVEN_BACK) + "\n"
