"""Where a text begins that continues nothing: after which character, or with which first ones and how often.

Knows characters and what a training record says of them. The record may be anybody's: what does not fit is left out.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from model.arrays import Float32s
from model.text.source import Reading
from model.text.vocabulary import Vocabulary

MAX_FIRST_CHARACTERS = 1000  # in a record
NEVER = -9999.0  # the logit of a character that no line begins with: no temperature gives it a chance


@dataclass(frozen=True)
class Beginning:
    """read: the character after which texts begin. Where it is empty, `first` holds the logits (V,) from which the
    first character is chosen; else `first` is None."""

    read: str
    first: Float32s | None = None


def starts_record(reading: Reading) -> dict[str, Any]:
    """What a training record keeps of how texts begin: with the commonest first characters of lines."""
    return {
        "documents": len(reading.documents),
        "first_characters": dict(Counter(reading.line_starts).most_common(MAX_FIRST_CHARACTERS)),
    }


def beginning(record: Mapping[str, Any], vocabulary: Vocabulary, bias: Float32s) -> Beginning:
    """After the end of a document, else after a line end, else with the first characters of the record's lines.

    Of one document, or one line, the end says nothing: the model never saw what follows it. Records of earlier versions
    say nothing of lines. Then a text begins after a space, which line ends became by the chapter's rules, and where
    there is none with what the model expects before it has read anything: a state of zeros gives the bias of the output
    layer, (V,), as logits.
    """
    places = {character: place for place, character in enumerate(vocabulary.characters)}
    end = _inside(record, "corpus", "document_end")
    if isinstance(end, str) and end in places and _inside(record, "starts", "documents") != 1:
        return Beginning(end)
    counts = _first_characters(record, places)
    if "\n" in places and sum(counts.values()) != 1:
        return Beginning("\n")
    if counts:
        first = np.full(len(places), NEVER, np.float32)
        first[[places[character] for character in counts]] = [math.log(count) for count in counts.values()]
        return Beginning("", first)
    return Beginning(" ") if " " in places else Beginning("", np.array(bias, np.float32))


def _first_characters(record: Mapping[str, Any], places: Mapping[str, int]) -> dict[str, int]:
    found = _inside(record, "starts", "first_characters")
    if not isinstance(found, dict):
        return {}
    return {c: count for c, count in found.items() if c in places and type(count) is int and count > 0}


def _inside(record: Mapping[str, Any], *names: str) -> Any:
    """None where it is not there."""
    found: Any = record
    for name in names:
        found = found.get(name) if isinstance(found, Mapping) else None
    return found
