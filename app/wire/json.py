"""JSON as bytes."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any


def dump(body: Any, default: Callable[[Any], Any] | None = None) -> bytes:
    """JSON in UTF-8. A lone surrogate that a client sent comes back as its escape, which UTF-8 cannot hold itself.

    default: what stands for a value that JSON does not have.
    """
    text = json.dumps(body, ensure_ascii=False, allow_nan=False, separators=(",", ":"), default=default)
    return text.encode("utf-8", "backslashreplace")
