"""What a model cannot learn from a text, in words. Where that is everything, the text is refused."""

from __future__ import annotations

from model.errors import CorpusError, describe
from model.text.encoding import EncodedCorpus
from model.text.facts import Facts

LITTLE = 0.03  # share of what is uncertain of a character that the one before settles: of random text 0, of prose 0.2
REPEATED = 0.9  # share of a text in passages that repeat, from which on there is little but them


def check_learnable(corpus: EncodedCorpus) -> None:
    """Raises CorpusError for a text of one distinct character."""
    if len(corpus.vocabulary) == 1:
        (character,), count = corpus.vocabulary.characters, len(corpus.indices)
        times = "once" if count == 1 else f"{count:,} times"
        raise CorpusError(f"{corpus.name}: holds nothing but {describe(character)}, {times}: there is nothing to learn")


def doubts(facts: Facts) -> list[str]:
    """One sentence for each reason why a model of this text may not be what somebody hopes for."""
    found = []
    if facts.once == facts.characters:
        found.append("no character stands twice: what follows what cannot be learned")
    elif 2 * facts.once > facts.characters:
        found.append("most characters stand once: what follows them can hardly be learned")
    if facts.foretold is not None and facts.foretold < LITTLE:
        found.append("nearly random: what comes next can hardly be learned from it")
    if facts.repeated >= REPEATED:
        found.append("nearly all of it is repeated passages: a model learns them by heart")
    if facts.markup is not None:
        found.append(f"looks like {facts.markup}: it is trained on as it stands, marks and all")
    return found
