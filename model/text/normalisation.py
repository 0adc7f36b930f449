"""Unicode's NFC in time that grows with the text and not with its square, and the places where a text can be cut.

Knows nothing of files or of the other text rules.
"""

from __future__ import annotations

import functools
import unicodedata

import numpy as np

from model.arrays import Bools

LONG_RUN = 30  # marks; as many as Unicode's own limit for streams (UAX #15, 13) calls enough for any language
_MARKS = range(0x300, 0x20000)  # no character outside begins, when decomposed, with a combining mark
_MADE_OF_MARKS = (0xF73, 0xF75, 0xF81)  # Tibetan vowels: no marks themselves, decomposed into two


def nfc(text: str) -> str:
    """`unicodedata.normalize("NFC", text)`.

    That function sorts a run of combining marks by insertion: 20 kB of them in a bad order take 80 ms. A long run is
    put in order first, which changes nothing of what comes out.
    """
    if unicodedata.is_normalized("NFC", text):  # most texts are, and this grows with the text alone
        return text
    codes = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), "<u4")
    marks = _is_mark()[np.minimum(codes, _MARKS.stop)]
    if np.count_nonzero(marks) > LONG_RUN:
        runs = np.flatnonzero(np.diff(marks, prepend=False, append=False)).reshape(-1, 2)  # start and end of each
        parts, done = [], 0
        for start, end in runs[runs[:, 1] - runs[:, 0] > LONG_RUN].tolist():
            parts += [text[done:start], _in_order(text[start:end])]
            done = end
        text = "".join([*parts, text[done:]])
    return unicodedata.normalize("NFC", text)


def last_cut(text: str) -> int:
    """The last place where a text can be cut in two that are lower-cased and normalised apart; 0 where there is none.

    What follows the cut neither composes with what stands before it nor is looked past by the rule that gives a capital
    sigma its form, and no sigma's form is decided across it. A line end of two characters stays whole.
    """
    cut = 0
    for at in range(len(text) - 1, -1, -1):
        if _stands_alone(text[at]):
            if cut and text[at : cut + 1] != "\r\n":
                return cut
            cut = at
        elif text[at] == "Σ":
            cut = 0
    return cut


@functools.cache
def _is_mark() -> Bools:
    """For each code point up to the end of _MARKS, whether its decomposition begins with a combining mark."""
    table = np.zeros(_MARKS.stop + 1, np.bool_)
    table[_MARKS.start : -1] = [unicodedata.combining(chr(code)) > 0 for code in _MARKS]
    table[list(_MADE_OF_MARKS)] = True
    return table


def _in_order(run: str) -> str:
    marks = "".join(unicodedata.normalize("NFD", mark) for mark in run)  # one by one: a run as a whole is the slow case
    return "".join(sorted(marks, key=unicodedata.combining))


# Not marks, format characters, modifiers and such punctuation as ' . : – a sigma's form is decided past them.
_ALONE = frozenset({"Lu", "Ll", "Lo", "Nd", "Nl", "No", "Zs", "Cc", "Co", "Pd", "Ps", "Pe", "Sm", "Sc", "So"})
# Letters that compose with what stands before them: vowels and finals of Hangul; from Unicode 16 (Python 3.14) on, two
# vowels of Kirat Rai.
_COMPOSING = frozenset({*range(0x1160, 0x1200), 0x16D67, 0x16D68})


def _stands_alone(character: str) -> bool:
    return character != "Σ" and unicodedata.category(character) in _ALONE and ord(character) not in _COMPOSING
