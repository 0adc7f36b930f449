"""The memory that answers may take, of all models of a process together: those that are made, waited for and read.

Counted before an answer is begun, by the most it can take, and given back once nothing holds it any more. Knows nothing
of requests.
"""

from __future__ import annotations

import weakref
from collections import deque

from app.refusals import AnswersFull

SHARE = 4  # one answer may take so much of it at most: a quarter


class AnswerBudget:
    """For the event loop, but for `give`, which may be called from anywhere, even while memory is collected."""

    def __init__(self, limit_bytes: int) -> None:
        self.limit = limit_bytes
        self._taken = 0
        self._returned: deque[int] = deque()

    @property
    def taken(self) -> int:
        while self._returned:
            self._taken -= self._returned.popleft()
        return self._taken

    def take(self, size: int) -> None:
        """Raises AnswersFull."""
        if self.taken + size > self.limit:
            raise AnswersFull(
                f"this answer may take {megabytes(size)}; {megabytes(self.taken)} of the "
                f"{megabytes(self.limit)} for all answers are taken"
            )
        self._taken += size

    def give(self, size: int) -> None:
        self._returned.append(size)

    def give_with(self, held: object, size: int) -> None:
        """Gives it back when `held` is gone from memory."""
        weakref.finalize(held, self.give, size).atexit = False


def megabytes(size: int) -> str:
    return f"{size / 1e6:.3g} MB"
