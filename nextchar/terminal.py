"""Text of a model as a terminal may be given it: control characters are shown, not obeyed."""

from __future__ import annotations

import re

# Control characters but for tab and line feed, and those that turn the direction of what follows.
_OBEYED = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")


def escaped(text: str) -> str:
    r"""The text with each character that a terminal obeys written as JSON does, `\u001b`.

    What a model learned can set a terminal's title and colours, or move its cursor over what stands there.
    """
    return _OBEYED.sub(lambda found: f"\\u{ord(found[0]):04x}", text)
