"""How texts are written for a command: one as it comes, several whole and in order, or different ones."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import Any

from model.language_model import Generation, LanguageModel
from model.sampling.options import MAX_SEED
from model.seeds import draw_seed
from nextchar.prefixes import Prefix
from nextchar.written import File, InOrder, Screen

DRAWS = 20  # texts drawn at most for each that is to be different


def write(
    lm: LanguageModel, prefixes: Sequence[Prefix], options: dict[str, Any], unique: bool, out: Screen | File
) -> None:
    if unique:
        _write_different(lm, prefixes, options, out)
    elif isinstance(out, Screen) and not out.as_json and len(prefixes) * options["n"] == 1:
        _write_as_it_comes(lm, prefixes[0], options, out)
    else:
        _write_whole(lm, [prefix.text for prefix in prefixes], options, out.write)


def _write_as_it_comes(lm: LanguageModel, prefix: Prefix, options: dict[str, Any], screen: Screen) -> None:
    begun = False
    try:
        for piece in lm.pieces([prefix.text], **options):
            text, begun = piece.text if begun else piece.prefix + piece.text, True
            screen.show(text)
    finally:
        if begun:
            screen.show("\n")


def _write_whole(
    lm: LanguageModel, texts: Sequence[str], options: dict[str, Any], write: Callable[[Generation], None]
) -> None:
    in_order = InOrder(write)
    try:
        for piece in lm.pieces(texts, **options):
            in_order.take(piece)
    except KeyboardInterrupt:
        in_order.interrupt()
        raise


def _write_different(
    lm: LanguageModel, prefixes: Sequence[Prefix], options: dict[str, Any], out: Screen | File
) -> None:
    """Of each prefix n texts that were not written before, as far as they are found."""
    n, greedy = options["n"], options["temperature"] == 0
    seen: set[str] = set()

    def write(generation: Generation) -> None:
        if generation.text not in seen:
            seen.add(generation.text)
            out.write(generation)

    for prefix in prefixes:
        first = draw_seed() if options["seed"] is None else options["seed"]
        before, drawn = len(seen), 0
        most = 1 if greedy else DRAWS * n
        while len(seen) - before < n and drawn < most:
            count = min(n - (len(seen) - before), most - drawn)
            own = {**options, "n": count, "seed": (first + drawn) % (MAX_SEED + 1)}
            _write_whole(lm, [prefix.text], own, write)
            drawn += count
        if n > 1 and len(seen) - before < n:
            _say_too_few(prefix, len(seen) - before, n, drawn, greedy)


def _say_too_few(prefix: Prefix, found: int, n: int, drawn: int, greedy: bool) -> None:
    place = f"{prefix.place}: " if prefix.place else ""
    why = "greedy writes one; give --temperature" if greedy else f"{drawn} were drawn"
    print(f"{place}{found} different {'text' if found == 1 else 'texts'} instead of {n}: {why}", file=sys.stderr)
