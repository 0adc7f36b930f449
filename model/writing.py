"""Many texts written at once, piece by piece. Knows nothing of prefixes, of where seeds come from, or of HTTP."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from model.arrays import Int64s
from model.decoding.decoder import BatchDecoder
from model.decoding.engine import Engine
from model.decoding.row import Row
from model.text.ending import EndWatcher

MAX_ROWS = 256  # decoded at once; more wait for a place
CALL_S = 0.02  # about how long one engine call may take, and so how often pieces come


@dataclass(eq=False)
class Text:
    """A text in the making: the place in the answer, and what writes and ends it."""

    index: int
    row: Row
    watcher: EndWatcher

    def take(self, decode: Callable[[Int64s], str], last: bool) -> str:
        """What was collected from its row and may be shown. last: the row writes no more."""
        written = decode(self.row.text_indices())
        self.row.written.clear()
        return self.watcher.feed(written, last)


def write(engine: Engine, texts: Iterable[Text], decode: Callable[[Int64s], str]) -> Iterator[tuple[Text, str]]:
    """Pieces in the order in which they are written. With the last of a text, which may be empty, its watcher has an
    `ending`."""
    decoder = BatchDecoder(engine, clock=time.perf_counter, tick_s=CALL_S)
    waiting = iter(texts)
    while True:
        while len(decoder) < MAX_ROWS and (text := next(waiting, None)) is not None:
            text.row.owner = text
            if text.row.steps:
                decoder.admit(text.row)
            else:  # its only character was chosen before
                yield text, text.take(decode, last=True)
        if not len(decoder):
            return
        finished = set(decoder.tick().tolist())
        for place in np.flatnonzero(decoder.unread()).tolist():
            decoder.collect(place)
        over = []
        for place, row in enumerate(decoder.rows):
            if not row.written and place not in finished:
                continue
            text = row.owner
            piece = text.take(decode, place in finished)
            if text.watcher.ending is not None:
                over.append(place)
            if piece or text.watcher.ending is not None:
                yield text, piece
        if over:
            decoder.remove(np.array(over))
