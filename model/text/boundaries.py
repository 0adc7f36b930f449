"""Where a text may end once it is long enough: after a character as people see it, after a word, before a line's end.

The rules for characters and words are Unicode's (UAX #29: extended grapheme clusters, default word boundaries), as the
library `regex` applies them. Whether a text may end somewhere depends on what follows there, so that is read too and
held back.
"""

from __future__ import annotations

from itertools import chain

import regex

from model.errors import OptionError
from model.text.source import DOCUMENT_END
from model.text.vocabulary import Vocabulary

MAX_BEYOND = 1_000  # characters that are written at most beyond the length that was asked for
CONTEXT_CHARS = 200  # of what stands before that length; no more is looked at
LINE_END = "\n"
BEFORE = {"line": LINE_END, "document": DOCUMENT_END}  # places before a character
ENDS = ("grapheme", "word", *BEFORE)

_CLUSTER = regex.compile(r"\X")
_WORD_BOUNDARY = regex.compile(r"\b", regex.WORD)
# What follows a word boundary that nothing behind can undo. A character that stands inside words (can't) or numbers
# (3.14) is none, unless what comes next is known too; marks are not counted.
_INSIDE = "".join(
    rf"\p{{Word_Break={name}}}" for name in ("MidLetter", "MidNum", "MidNumLet", "Single_Quote", "Double_Quote")
)
_MARKS = r"[\p{Word_Break=Extend}\p{Word_Break=Format}\p{Word_Break=ZWJ}]*+"
_MAY_FOLLOW = ("a", "1", "\N{HEBREW LETTER ALEF}")  # each kind that goes on behind such a character
_DECIDED = regex.compile(rf"[^{_INSIDE}]|[{_INSIDE}]{_MARKS}.", regex.DOTALL)


def check_end(end: str | None, vocabulary: Vocabulary) -> None:
    """Raises OptionError for what is no such place, or one that a model of this vocabulary never comes to."""
    if end is None:
        return
    if end not in ENDS:
        raise OptionError("end", f"{end!r} is not one of {', '.join(ENDS)}")
    known = [one for one in ENDS if one not in BEFORE or BEFORE[one] in vocabulary.characters]
    if end not in known:
        raise OptionError("end", f"this model has never seen the end of a {end}; it may be {', '.join(known)}")


def most_chars(num_chars: int, end: str | None) -> int:
    """How many characters are written at most."""
    return num_chars if end is None else num_chars + MAX_BEYOND


class BoundaryWatcher:
    """Lets a text through up to the first place at or after num_chars where it may end.

    end: of ENDS. before: what stands before the text; its last CONTEXT_CHARS count. `ended` once the place was found.
    What is let through does not depend on how the text is cut into pieces.
    """

    def __init__(self, end: str, num_chars: int, before: str = "") -> None:
        self._end = end
        self._missing = num_chars  # characters before a place counts
        self._text = before[-CONTEXT_CHARS:]  # then followed by all that comes behind num_chars
        self._at = len(self._text)  # what stands before it in _text was let through
        self.ended = False

    def feed(self, text: str) -> str:
        """The text that may be shown now that these characters are there too. Nothing once it has ended."""
        if self.ended:
            return ""
        through, beyond = text[: self._missing], text[self._missing :]
        if through:
            self._missing -= len(through)
            self._text = (self._text + through)[-CONTEXT_CHARS:]
            self._at = len(self._text)
        if not beyond:
            return through
        self._text += beyond
        place, self.ended = _next_place(self._end, self._text, self._at)
        shown, self._at = self._text[self._at : place], place
        return through + shown

    def finish(self) -> str:
        """What was still held back when no more text comes."""
        held = "" if self.ended else self._text[self._at :]
        self._at += len(held)
        return held


def _next_place(end: str, text: str, at: int) -> tuple[int, bool]:
    """The first place from `at` on where the text may end, as far as that is known, and whether it is."""
    if end in BEFORE:
        found = text.find(BEFORE[end], at)
        return (len(text), False) if found < 0 else (found, True)
    if end == "grapheme":
        ends = (cluster.end() for cluster in _CLUSTER.finditer(text))
        place = next(place for place in chain((0,), ends) if place >= at)
        return place, place < len(text)
    place = _WORD_BOUNDARY.search(text, at).start()
    return place, _DECIDED.match(text, place) is not None or (
        place < len(text) and all(_WORD_BOUNDARY.search(text + more, at).start() == place for more in _MAY_FOLLOW)
    )
