"""Where a text ends: before a stop string, at a place where it may end, or at its length."""

from __future__ import annotations

from collections.abc import Sequence

from model.text.boundaries import BoundaryWatcher
from model.text.stops import StopWatcher


class EndWatcher:
    """Lets through what belongs to a text that arrives in pieces; what is not decided yet is held back.

    end, num_chars, before: as of a BoundaryWatcher; without an `end` the length is whatever comes. A stop string counts
    where it is complete before that end. `ending` once the text is over: "stop", "end" or "length".
    """

    def __init__(self, num_chars: int, stops: Sequence[str] = (), end: str | None = None, before: str = "") -> None:
        self._boundary = BoundaryWatcher(end, num_chars, before) if end is not None else None
        self._stops = StopWatcher(stops) if stops else None
        self.ending: str | None = None

    def feed(self, text: str, last: bool = False) -> str:
        """The text that may be shown now. last: no more comes. Nothing once the text is over."""
        if self.ending is not None:
            return ""
        ending = "length" if last else None
        if self._boundary is not None:
            text = self._boundary.feed(text)
            if self._boundary.ended:
                ending = "end"
            elif last:
                text += self._boundary.finish()
        if self._stops is not None:
            text = self._stops.feed(text)
            if self._stops.stopped:
                ending = "stop"
            elif ending is not None:
                text += self._stops.end()
        self.ending = ending
        return text
