"""Server-sent events, for what the generators leave to their users."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any


def events(lines: Iterable[str]) -> Iterator[tuple[str, dict[str, Any]]]:
    """The name and the data of each."""
    name = ""
    for line in lines:
        field, _, value = line.strip().partition(": ")
        if field == "event":
            name = value
        elif field == "data":
            yield name, json.loads(value)


def told(lines: Iterable[str]) -> dict[str, Any]:
    """The names of the events, the text of the chunks and that of the last event."""
    found = list(events(lines))
    return {
        "names": sorted({name for name, _ in found}),
        "last": found[-1][0],
        "chunks": "".join(data["text"] for name, data in found if name == "chunk"),
        "text": found[-1][1].get("text"),
    }
