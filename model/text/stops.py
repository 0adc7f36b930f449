"""Stop strings in a text that arrives in pieces. Knows nothing of rows or requests.

The meaning is that of a reader who goes character by character: the stop string that is complete first ends the text,
and of several complete at the same character the one that begins first. Only what was read counts, so the pieces and
whatever would have followed change nothing.
"""

from __future__ import annotations

from collections.abc import Sequence


class StopWatcher:
    """Lets through what cannot be part of a stop string any more, and holds the rest back.

    stops: none of them empty. `stopped` once one was found: the text ends before it. Takes a time that grows with the
    length of the text alone, however it is cut.
    """

    def __init__(self, stops: Sequence[str]) -> None:
        # One that holds another before its own end is never complete first: nothing is held back for it.
        self._stops = [_Stop(stop) for stop in stops if not any(other in stop[:-1] for other in stops)]
        self._held = ""
        self.stopped = False

    def feed(self, text: str) -> str:
        """The text that may be shown now that these characters are there too. Nothing once stopped."""
        if self.stopped:
            return ""
        complete = [(end, -len(stop.text)) for stop in self._stops if (end := stop.feed(text)) is not None]
        whole = self._held + text
        if complete:
            end, length = min(complete)
            shown = len(self._held) + end + length
            self.stopped, self._held = True, ""
        else:
            shown = len(whole) - max((stop.begun for stop in self._stops), default=0)
            self._held = whole[shown:]
        return whole[:shown]

    def end(self) -> str:
        """What was still held back when no more text comes."""
        held, self._held = self._held, ""
        return held


class _Stop:
    """One stop string after Knuth, Morris and Pratt. begun: how many of the last characters read are its beginning."""

    __slots__ = ("_shorter", "begun", "text")

    def __init__(self, text: str) -> None:
        self.text = text
        self.begun = 0
        # _shorter[k]: how many of the first k characters' last ones are a beginning too, but not all k.
        self._shorter = [0, 0]
        for character in text[1:]:
            self._shorter.append(self._longer(self._shorter[-1], character))

    def feed(self, piece: str) -> int | None:
        """How many characters of the piece make the stop string complete; None where it is not."""
        at = 0
        while at < len(piece):
            if not self.begun and (at := piece.find(self.text[0], at)) < 0:
                return None
            self.begun = self._longer(self.begun, piece[at])
            at += 1
            if self.begun == len(self.text):
                return at
        return None

    def _longer(self, begun: int, character: str) -> int:
        while begun and self.text[begun] != character:
            begun = self._shorter[begun]
        return begun + (self.text[begun] == character)
