"""What is done to a text before a model sees it: letters, line ends, Unicode's form."""

from __future__ import annotations

from dataclasses import dataclass

from model.errors import CorpusError
from model.text.normalisation import nfc

NEWLINE_RULES = ("space", "keep")


@dataclass(frozen=True)
class TextRules:
    """How text becomes what the model sees.

    - lowercase: `str.lower` over corpus and prefixes alike.
    - newlines: "space" turns every line end into one space, as the chapter does; "keep" leaves it, written as LF. The
      three ways to end a line are LF, CR LF and CR.
    - normalisation: a Unicode normalisation form; "NFC" is the only one in use.
    """

    lowercase: bool = True
    newlines: str = "space"
    normalisation: str = "NFC"

    def __post_init__(self) -> None:
        if type(self.lowercase) is not bool:
            raise CorpusError(f"lowercase: {self.lowercase!r} is neither true nor false")
        if self.newlines not in NEWLINE_RULES:
            raise CorpusError(f"newlines: {self.newlines!r} is not one of {', '.join(NEWLINE_RULES)}")
        if self.normalisation != "NFC":
            raise CorpusError(f"normalisation: {self.normalisation!r} is not NFC")

    def apply(self, text: str) -> str:
        """The text as the model sees it. Applying it twice changes nothing more."""
        return self.fold_line_ends(self.with_line_ends(text))

    def with_line_ends(self, text: str) -> str:
        """The text as the model sees it, but that its line ends stay, as LF."""
        text = nfc(text)
        if self.lowercase:
            text = nfc(text.lower())  # lower() can decompose: 'İ' becomes 'i' and a combining dot
        return text.replace("\r\n", "\n").replace("\r", "\n")

    def fold_line_ends(self, text: str) -> str:
        """The text as the model sees it, of one whose line ends stayed."""
        return text.replace("\n", " ") if self.newlines == "space" else text
