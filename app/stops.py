"""Stop strings in a text that arrives in pieces. Knows nothing of rows or requests."""

from __future__ import annotations

from collections.abc import Sequence


class StopWatcher:
    """Lets through what cannot be part of a stop string any more, and holds the rest back.

    `stopped` once one was found: the text ends before it, and of several that could end it the earliest does.
    """

    def __init__(self, stops: Sequence[str]) -> None:
        self._stops = tuple(stops)
        self._held = ""
        self.stopped = False

    def feed(self, text: str) -> str:
        """The text that may be shown now that these characters are there too. Nothing once stopped."""
        if self.stopped:
            return ""
        text = self._held + text
        found = [at for stop in self._stops if (at := text.find(stop)) >= 0]
        if found:
            self.stopped, self._held = True, ""
            return text[: min(found)]
        hold = max((self._overlap(text, stop) for stop in self._stops), default=0)
        self._held = text[len(text) - hold :]
        return text[: len(text) - hold]

    def end(self) -> str:
        """What was still held back when no more text comes."""
        held, self._held = self._held, ""
        return held

    @staticmethod
    def _overlap(text: str, stop: str) -> int:
        """How many of the text's last characters are a beginning of the stop string."""
        for length in range(min(len(text), len(stop) - 1), 0, -1):
            if text.endswith(stop[:length]):
                return length
        return 0
