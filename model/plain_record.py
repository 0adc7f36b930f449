"""The training record of a checkpoint as anybody may be shown it: JSON that every reader can read, of bounded depth.

Knows nothing of what stands in a record.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from typing import Any

MAX_DEPTH = 16  # ours nest three deep; a writer of JSON gives up at about 1000


def read_record(text: str) -> dict[str, Any]:
    """The record in a text. Figures that are not finite, of a run that diverged, become None: JSON has no such numbers.

    Raises ValueError or RecursionError for a text that holds no JSON object, one that nests deeper than MAX_DEPTH, or
    half of a surrogate pair.
    """
    record = json.loads(text, parse_float=_finite, parse_constant=lambda _: None)
    if not isinstance(record, dict):
        raise ValueError("its training record is not an object")
    level: list[Any] = [record]
    for _ in range(MAX_DEPTH):
        level = [c for v in level for c in _containers(v.values() if isinstance(v, dict) else v)]
    if level:
        raise ValueError(f"its training record nests deeper than {MAX_DEPTH}")
    json.dumps(record, ensure_ascii=False).encode()
    return record


def worded(value: Any) -> Any:
    """The same record for a writer of JSON: figures that are not finite become the words inf, -inf and nan."""
    if isinstance(value, dict):
        return {key: worded(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [worded(inner) for inner in value]
    return f"{float(value)}" if isinstance(value, float) and not math.isfinite(value) else value


def _finite(digits: str) -> float | None:
    value = float(digits)
    return value if math.isfinite(value) else None


def _containers(values: Iterable[Any]) -> list[Any]:
    return [value for value in values if isinstance(value, dict | list)]
