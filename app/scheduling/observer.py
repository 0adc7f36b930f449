"""What is told to whoever keeps the figures of one scheduler, mostly from its decode thread: quick and thread-safe."""

from __future__ import annotations

from collections.abc import Mapping


class Observer:
    """Does nothing; a subclass overrides what it wants to know. Times are in seconds."""

    def loaded(self, facts: Mapping[str, str]) -> None:
        """From now on this scheduler is the one that serves under its model's name. Told on the event loop."""

    def retired(self) -> None:
        """It serves no longer; what it was writing it may still write to its end. Told on the event loop."""

    def ended(self) -> None:
        """It is over, or has never served: nothing more of it counts. Told on the event loop, and last."""

    def queue(self, waiting: int, rows: int) -> None:
        """After each tick: requests waiting for a place, rows decoding."""

    def tick(self, rows: int, steps: int, seconds: float) -> None:
        """One engine call advanced so many rows by so many characters each."""

    def step_failed(self) -> None:
        """One engine call failed, with whatever requests were in it, or with none."""

    def admitted(self, queue_s: float, cached_chars: int | None) -> None:
        """A request left the queue. cached_chars: of its prefix, held by the cache; None where it was not asked."""

    def first_character(self, seconds: float) -> None:
        """Since the request was submitted; once per choice."""

    def finished(self, outcome: str, read: int, written: int, seconds: float) -> None:
        """A request is over. outcome: "length", "stop", "end" (of its first choice), "score", or "cancelled",
        "deadline", "failed", "draining"; seconds since it was submitted."""
