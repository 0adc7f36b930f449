"""Which folder and which text a run goes on with, where not all is given. Knows nothing of training options."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from model.errors import CorpusError, OptionError, show
from model.text.encoding import EncodedCorpus, open_corpus
from model.text.rules import TextRules
from model.text.source import Source
from model.text.stored import STANDARD_INPUT


def folder_of(out: str | None, folder: str | None, resume: bool) -> Path:
    """`folder` is what stands behind --resume without an option. Raises OptionError where it is not clear which."""
    if folder is not None and not resume:
        raise OptionError(
            "out", f"{show(folder)} stands without an option; give a text with --corpus, a folder with --out"
        )
    if None not in (out, folder) and os.path.abspath(str(out)) != os.path.abspath(str(folder)):
        raise OptionError("out", f"is {show(out)}, and --resume names {show(folder)}; give one of them")
    named = out if folder is None else folder
    if named is None:
        raise OptionError("out", "is missing; name the folder that the model is saved in (--out checkpoints/mine)")
    if not named:
        raise OptionError("out", "'' names no folder; name the one that the model is saved in")
    return Path(named)


def source_for(
    corpora: Sequence[str] | None,
    encoding: str | None,
    errors: str | None,
    join: str | None,
    max_chars: int | None,
    before: Source | None = None,
) -> Source:
    """As given, else as the run that goes on read it, else the embedded lyrics. Raises CorpusError and OptionError."""
    usual = before or Source(("lyrics",))
    if before is not None and not corpora and any(corpus in STANDARD_INPUT for corpus in before.corpora):
        raise CorpusError("corpus: the run read standard input, which is over; give the same text with --corpus")
    return Source(
        tuple(corpora) if corpora else usual.corpora,
        usual.encoding if encoding is None else encoding,
        usual.errors if errors is None else errors,
        usual.join if join is None else join,
        usual.max_chars if max_chars is None else max_chars,
    )


def open_text(source: Source, rules: TextRules, out: Path, is_of_run: bool) -> EncodedCorpus:
    """is_of_run: the places were found in the run, and nobody named them now. Raises CorpusError."""
    try:
        return open_corpus(source, rules, out)
    except CorpusError as error:
        if not is_of_run:
            raise
        raise CorpusError(f"{error}; the run read its text there, name where it is now with --corpus") from error
