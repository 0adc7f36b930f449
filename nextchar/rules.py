"""Which rules a text is read by, where they are not all given."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from model.text.rules import TextRules
from model.text.stored import EMBEDDED
from model.training.presets import PRESETS_THAT_KEEP_CASE


def rules_for(
    corpora: Sequence[str],
    preset: str | None,
    keep_case: bool | None = None,
    keep_newlines: bool | None = None,
    before: Mapping[str, Any] | None = None,
) -> TextRules:
    """As given, else as the run that goes on read it (`before`: the rules in its snapshot), else by what is read.

    A text of one's own stays as it is. The embedded ones are lower-cased and lose their line ends. The chapter's
    preset makes line ends spaces and keeps case, whatever it reads.
    """
    lowercase, newlines = _usual(corpora, preset) if before is None else _recorded(before, preset)
    if keep_case is not None:
        lowercase = not keep_case
    if keep_newlines is not None:
        newlines = "keep" if keep_newlines else "space"
    return TextRules(lowercase=lowercase, newlines=newlines)


def _usual(corpora: Sequence[str], preset: str | None) -> tuple[bool, str]:
    embedded = all(corpus in EMBEDDED for corpus in corpora)
    chapters = preset in PRESETS_THAT_KEEP_CASE
    return embedded and not chapters, "space" if embedded or chapters else "keep"


def _recorded(before: Mapping[str, Any], preset: str | None) -> tuple[bool, str]:
    """A run from before rules were recorded folded whatever it read."""
    return before.get("lowercase", preset not in PRESETS_THAT_KEEP_CASE), before.get("newlines", "space")
