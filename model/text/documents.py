"""Documents that are no plain text."""

from __future__ import annotations


def text_of(kind: str, name: str, data: bytes) -> str:
    raise NotImplementedError
