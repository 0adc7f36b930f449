"""From what a person named to one text: its documents, decoded and joined, in pieces.

Knows nothing of the rules that a text goes through before a model sees it.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path

from model.errors import CorpusError, brief
from model.text import archives, folders, stored
from model.text.decoder import TextDecoder
from model.text.documents import text_of
from model.text.opening import NotTextError, Opened, opened
from model.text.source import DOCUMENT_END, OPENING, Reading, Source
from model.text.stored import Document

PIECE_BYTES = 2**20
_MOST_NAMED = 3  # in one name or message


class Reader:
    """Reads a source once. `folder` is where what is large may be kept meanwhile; it is no part of the text."""

    def __init__(self, source: Source, folder: Path | None = None) -> None:
        self.source, self.name = source, _name(source)
        self._folder = folder
        self._documents: list[str] = []
        self._left_out: list[tuple[str, str]] = []
        self._encodings: dict[str, None] = {}  # in the order in which they were met
        self._opening, self._last = "", ""
        self._marks = self._replaced = 0

    def texts(self) -> Generator[str, None, None]:
        """The text as it was written, joined, in pieces that end anywhere. None is empty."""
        for corpus in self.source.corpora:
            for text in self._corpus(corpus):
                self._opening += text[: OPENING - len(self._opening)]
                self._last = text[-1]
                yield text

    @property
    def reading(self) -> Reading:
        """What was found so far, but for what the rules did."""
        return Reading(
            tuple(self._documents), tuple(self._left_out), ", ".join(self._encodings) or "utf-8", self._opening,
            self._marks, self._replaced,
        )  # fmt: skip

    def _corpus(self, corpus: str) -> Iterator[str]:
        path, name = Path(corpus), _name_of(corpus)
        if corpus in stored.EMBEDDED:  # before a file of the same name; "./lyrics" names the file
            yield from self._document(Document(name, partial(stored.embedded, corpus), encoding="utf-8"))
        elif corpus == "-":
            yield from self._document(Document(name, stored.standard_input))
        elif stored.is_folder(path):
            files, left_out = folders.listed(path, self._folder)
            found = [(f"{name}/{brief(file.as_posix())}", partial(stored.file, path / file)) for file in files]
            documents = [Document(one, open, found=True) for one, open in found]
            yield from self._several(name, documents, [(f"{name}/{one}", why) for one, why in left_out])
        else:
            yield from self._document(Document(name, partial(stored.file, path)))

    def _several(self, name: str, documents: list[Document], left_out: folders.LeftOut) -> Iterator[str]:
        """The documents of a folder or a zip. Raises CorpusError where none has a text."""
        others, before = len(self._left_out), len(self._documents)
        self._left_out += left_out
        for document in documents:
            yield from self._document(document)
        if len(self._documents) == before:
            why = _enumerated([f"{one.removeprefix(f'{name}/')} {why}" for one, why in self._left_out[others:]])
            raise CorpusError(f"{name}: holds no text" + (f"; {why}" if why else ""))

    def _document(self, document: Document) -> Iterator[str]:
        with ExitStack() as stack:
            try:
                found = stack.enter_context(opened(document, self._folder))
                parsed = self._parsed(found)
            except NotTextError as error:
                if not document.found:
                    raise
                why = str(error).removeprefix(document.name).removeprefix(":").strip()
                self._left_out.append((document.name, why))
                return
            if found.kind == "zip":
                archive = stack.enter_context(archives.zip_of(found.name, found.stream))
                yield from self._several(found.name, *archives.members(found.name, archive))
            elif found.kind == "text":
                yield from self._joined(found.name, self._decoded(found, document.encoding))
            else:
                yield from self._joined(found.name, [parsed])

    @staticmethod
    def _parsed(found: Opened) -> str:
        if found.kind in ("text", "zip"):
            return ""
        data = found.whole()
        try:
            return text_of(found.kind, found.name, data)
        except CorpusError as error:
            raise NotTextError(str(error)) from None

    def _decoded(self, found: Opened, encoding: str | None) -> Iterator[str]:
        decoder = TextDecoder(found.name, encoding or self.source.encoding, self.source.errors, found.head)
        try:
            while data := found.stream.read(PIECE_BYTES):
                yield decoder.decode(data)
            yield decoder.decode(b"", final=True)
        finally:
            self._encodings[decoder.encoding] = None
            self._marks += decoder.marks
            self._replaced += decoder.replaced

    def _joined(self, name: str, texts: Iterable[str]) -> Iterator[str]:
        """A document's text with what stands before or after it."""
        ended, begun = self.source.join == "document", False
        for text in filter(None, texts):
            if ended and DOCUMENT_END in text:
                raise CorpusError(
                    f"{name}: holds {DOCUMENT_END} (U+{ord(DOCUMENT_END):04X}), the character that marks where a "
                    "document ends; give --join line, or take it out"
                )
            if not begun:
                self._documents.append(name)
                # After CR this makes CR LF, one line end, whatever the next document begins with.
                if not ended and self._last not in ("", "\n"):
                    yield "\n"
                begun = True
            yield text
        if not begun:
            self._left_out.append((name, "is empty"))
        elif ended:
            yield DOCUMENT_END


def _name(source: Source) -> str:
    """What a source is called in messages and records."""
    if not source.corpora:
        raise CorpusError("corpus: none is given")
    if sum(corpus in stored.STANDARD_INPUT for corpus in source.corpora) > 1:
        raise CorpusError("corpus: standard input can be read once, and is given twice")
    return _enumerated([_name_of(corpus) for corpus in source.corpora])


def _name_of(corpus: str) -> str:
    if not corpus:
        raise CorpusError("corpus: '' names no file")
    if corpus in stored.STANDARD_INPUT:
        return "standard input"
    path = Path(corpus)
    return brief(path.name if path.name not in ("", "..") else path.resolve().name or corpus)


def _enumerated(names: list[str]) -> str:
    more = len(names) - _MOST_NAMED
    return ", ".join([*names[:_MOST_NAMED], *([f"{more:,} more"] if more > 0 else [])])
