"""What people are told of a text before it is trained on, in a few lines of up to 80 columns where names allow it."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Sequence

from rich.console import Console

from model.text.encoding import EncodedCorpus
from model.text.facts import PASSAGE, Facts, facts_of
from model.text.learnable import doubts
from model.text.source import OPENING, Reading
from nextchar.terminal import escaped

NAMED = 3  # documents that are named, of those read and of those left out
SCRIPTS = 4  # that are named


def tell(console: Console, corpus: EncodedCorpus, trained: int, held_out: int, epoch_s: float | None = None) -> None:
    """trained, held_out: characters. epoch_s: about how long a pass over the text takes here, if that is known."""
    facts = facts_of(corpus)
    lines = [*of_the_reading(corpus), *of_the_text(facts), _of_the_training(facts, trained, held_out)]
    if epoch_s is not None:
        lines.append(f"an epoch takes about {duration(epoch_s)}")
    console.print("\n".join(lines))
    for doubt in doubts(facts):
        console.print(f"{escaped(corpus.name)}: {doubt}", style="yellow")


def of_the_reading(corpus: EncodedCorpus) -> list[str]:
    reading = corpus.reading
    opening = reading.opening or corpus.vocabulary.decode(corpus.indices[:OPENING])
    more = "…" if len(corpus.indices) > len(opening) else ""
    lines = [f"begins: {visible(opening)}{more}"]
    if len(reading.documents) > 1:
        lines.append(f"{len(reading.documents):,} documents: {_few(reading.documents)}")
    lines += [f"left out: {escaped(name)} ({escaped(why)})" for name, why in reading.left_out[:NAMED]]
    if (more_left_out := len(reading.left_out) - NAMED) > 0:
        lines.append(f"left out: {more_left_out:,} more")
    if encoding := _of_the_encoding(reading):
        lines.append(encoding)
    if folding := folded(reading):
        lines.append(folding)
    return lines


def _of_the_encoding(reading: Reading) -> str:
    words = []
    if reading.encoding.lower().replace("_", "-") not in ("utf-8", "utf8", "utf-8-sig"):
        words.append(f"read as {reading.encoding}")
    if reading.marks:
        words.append(f"{_counted(reading.marks, 'byte order mark')} inside dropped")
    if reading.replaced:
        words.append(
            f"{_counted(reading.replaced, 'byte')} not {reading.encoding}, replaced by \N{REPLACEMENT CHARACTER}"
        )
    return "; ".join(words)


def folded(reading: Reading) -> str:
    """What the rules did to line ends and capitals, and how to keep them. Empty where they did nothing."""
    counted = [
        (_counted(count, what), option)
        for count, what, option in (
            (reading.line_ends, "line end", "--keep-newlines"), (reading.capitals, "capital", "--keep-case")
        )
        if count
    ]  # fmt: skip
    if not counted:
        return ""
    one = len(counted) == 1
    verbs = ("was" if reading.line_ends + reading.capitals == 1 else "were", "keeps" if one else "keep")
    things, options = zip(*counted, strict=True)
    them = "it" if verbs[0] == "was" else "them"
    return f"{' and '.join(things)} {verbs[0]} folded ({', '.join(options)} {verbs[1]} {them})"


def of_the_text(facts: Facts) -> list[str]:
    lines = [f"{_counted(facts.characters, 'character')}, {facts.distinct:,} distinct{_rarest(facts)}"]
    if facts.scripts:
        lines.append(f"letters: {_scripts(facts.scripts)}")
    if facts.lines is not None:
        lengths = f"half have up to {facts.lines.median:,} characters, the longest {facts.lines.longest:,}"
        lines.append(f"{_counted(facts.num_lines, 'line')}: {lengths}; {_repeated(facts.lines.repeated)}")
    if facts.repeated:
        lines.append(f"{_percent(facts.repeated)} of it is repeated passages ({PASSAGE} characters or more)")
    if facts.examined < facts.characters and (facts.lines is not None or facts.repeated):
        lines.append(f"(lengths and repeats are of the first {facts.examined:,} characters)")
    return lines


def _rarest(facts: Facts) -> str:
    if facts.once == facts.distinct:
        return ", each stands once"
    if not facts.once:
        return f", each at least {facts.rarest[0][1]:,} times"
    once = [_named(character) for character, count in facts.rarest if count == 1]
    more = " …" if facts.once > len(once) else ""
    return f"; {facts.once:,} {'stands' if facts.once == 1 else 'stand'} once: {' '.join(once)}{more}"


def _named(character: str) -> str:
    """A character that can stand alone as itself, others by their code points."""
    alone = character.isprintable() and not character.isspace() and unicodedata.category(character)[0] != "M"
    return character if alone else f"U+{ord(character):04X}"


def _scripts(scripts: Sequence[tuple[str, float]]) -> str:
    if len(scripts) == 1:
        return scripts[0][0]
    named = [f"{script} {_percent(share)}" for script, share in scripts[:SCRIPTS]]
    more = len(scripts) - len(named)
    return ", ".join(named) + (f" and {more} more" if more else "")


def _repeated(share: float) -> str:
    return f"{_percent(share)} are repeats" if share else "no two alike"


def _of_the_training(facts: Facts, trained: int, held_out: int) -> str:
    words = "all of it is trained on, nothing is held out"
    if held_out:
        words = f"{trained:,} of {facts.characters:,} are trained on, {held_out:,} are held out"
        if neither := facts.characters - trained - held_out:
            words += f", {neither:,} between them left out"
    return words


def visible(text: str) -> str:
    r"""The text on one line: line ends and tabs as `\n`, `\r` and `\t`, and what a terminal obeys escaped."""
    return escaped(text.replace("\r", "\\r").replace("\n", "\\n").replace("\t", "\\t"))


def _few(names: Iterable[str]) -> str:
    known = [escaped(name) for name in names]
    more = len(known) - NAMED
    return ", ".join(known[:NAMED]) + (f" and {more:,} more" if more > 0 else "")


def _counted(count: int, what: str) -> str:
    return f"{count:,} {what}" if count == 1 else f"{count:,} {what}s"


def _percent(share: float) -> str:
    return "less than 1%" if share < 0.01 else f"{share:.0%}"


def duration(seconds: float) -> str:
    """About so long, as exact as a guess can be."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"
