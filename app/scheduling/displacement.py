"""Which rows give up their places for those who wait, so that callers come to hold as many as each other.

Pure: callers and places only. Knows nothing of rows, of time, or of who is seated then.
"""

from __future__ import annotations

import heapq
from collections import Counter, deque
from collections.abc import Mapping, Sequence


class Displacement:
    """held: the caller of each place, none for a free one. candidates: places that may be taken, in that order.

    `displaced` grows as places are asked for. A place is taken from the caller that holds most, where that is more than
    the one who asks would be left without; else from the asker's own; else not at all.
    """

    def __init__(self, held: Sequence[str], candidates: Sequence[int], free: int) -> None:
        self.displaced: list[int] = []
        self._free = free
        self._held = Counter(held)
        self._candidates: dict[str, deque[int]] = {}
        for place in candidates:
            self._candidates.setdefault(held[place], deque()).append(place)
        self._richest = [(-self._held[caller], caller) for caller in self._candidates]
        heapq.heapify(self._richest)

    def ask(self, wanted: Mapping[str, int], limit: int) -> None:
        """wanted: places by caller. limit: of all together. Who holds least asks first."""
        asking = [(self._held[caller], order, caller, count) for order, (caller, count) in enumerate(wanted.items())]
        heapq.heapify(asking)
        while asking and limit:
            _, order, caller, count = heapq.heappop(asking)
            if not self._give(caller):
                continue
            limit -= 1
            if count > 1:
                heapq.heappush(asking, (self._held[caller], order, caller, count - 1))

    def _give(self, caller: str) -> bool:
        if self._free:
            self._free -= 1
        else:
            other = self._find_richest()
            if other is None or self._held[other] <= self._held[caller]:
                other = caller
            if not self._candidates.get(other):
                return False
            self.displaced.append(self._candidates[other].popleft())
            self._held[other] -= 1
        self._held[caller] += 1
        return True

    def _find_richest(self) -> str | None:
        """The caller that holds most among those with a candidate."""
        while self._richest:
            negative, caller = self._richest[0]
            if not self._candidates[caller]:
                heapq.heappop(self._richest)
            elif -negative != self._held[caller]:
                heapq.heapreplace(self._richest, (-self._held[caller], caller))
            else:
                return caller
        return None
