"""Whether a text looks like markup or data rather than prose, by what stands in it."""

from __future__ import annotations

import json
import re

LOOKED_AT = 20_000  # characters
_TAG = re.compile(r"</?[a-z][^<>\n]{0,200}>", re.IGNORECASE)
_TAGS_SHARE = 0.05  # of the characters
_END_TAG = re.compile(r"</[a-z][^<>\n]{0,200}>|<[a-z][^<>\n]{0,200}/>", re.IGNORECASE)  # names in a chat have none
_KEY = re.compile(r'"[^"\n]{1,60}"\s*:')
_KEYS = 3
_SEPARATORS = (("\t", 1), (";", 2), (",", 2))  # with how many of them a line must have to look like a row
_ROWS, _ROWS_SHARE = 5, 0.95


def markup(text: str) -> str | None:
    """What kind it looks like, as people call it; None for none. Judged by its first characters."""
    start = text[:LOOKED_AT]
    if start.lstrip().lower().startswith("{\\rtf"):
        return "RTF"
    if start.lstrip()[:1] in ("{", "[") and _is_json(start, len(text) > LOOKED_AT):
        return "JSON"
    tags = sum(len(tag[0]) for tag in _TAG.finditer(start))
    if tags > _TAGS_SHARE * len(start) and _END_TAG.search(start):
        return "HTML or XML"
    return _table(start)


def _is_json(start: str, cut: bool) -> bool:
    if not cut:
        try:
            return isinstance(json.loads(start), dict | list)
        except (ValueError, RecursionError):
            pass  # it may be one object a line, or have been cut itself
    return len(_KEY.findall(start)) >= _KEYS


def _table(start: str) -> str | None:
    """Where nearly all lines have the same number of one separator."""
    lines = start.split("\n")[:-1]
    rows = [line for line in lines if line.strip()]
    if len(rows) < _ROWS:
        return None
    for separator, least in _SEPARATORS:
        counts = [row.count(separator) for row in rows]
        usual = max(set(counts), key=counts.count)
        if usual >= least and counts.count(usual) >= _ROWS_SHARE * len(rows):
            return "a table (CSV)"
    return None
