"""Which options and which text a run may go on with. Knows nothing of files or arrays.

Nobody notices from a model that its second half was trained otherwise than its first, so a run goes on as it began:

- FREE options leave the parameters as they are: when to save, what to write samples of, and by which name a device,
  a backend or a precision was asked for (what really computes is compared by its own name).
- LENGTH options say when the run ends. They may differ, as going on for longer is what resuming is for; where the
  learning rate falls over the run, it falls over the length that is given now.
- FIXED options may never differ. Another `validation_fraction` or `validation` would measure on text that was trained
  on, or compare figures of two texts; the others fix what a snapshot holds and what its place in the text means.
- All others may differ where somebody insists.

The record of a run names every option but the FREE ones that changed on its way.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import Any

from model.errors import CheckpointError
from model.text.encoding import EncodedCorpus
from model.text.source import Source
from model.text.stored import EMBEDDED, STANDARD_INPUT
from model.training.options import TrainingOptions

FREE = frozenset({"save_every_s", "prefixes", "pred_len", "pred_period", "device", "backend", "precision"})
LENGTH = frozenset({"epochs", "steps", "time_budget_s", "patience"})
FIXED = frozenset(
    {"validation_fraction", "validation", "cell", "num_layers", "hidden_dim", "batch_size", "num_steps", "optimizer"}
)


def changes(before: Mapping[str, Any], now: Mapping[str, Any], override: bool = False) -> list[str]:
    """The options that matter and differ between a run so far and the rest of it, sorted.

    An option that a version did not have yet was as it is by default. Raises CheckpointError that names each option
    which may not differ, with both values.
    """
    usual = asdict(TrainingOptions())
    before = {**{name: usual.get(name) for name in now}, **before}
    differing = sorted(name for name in before.keys() | now.keys() if before.get(name) != now.get(name))
    never = [name for name in differing if name in FIXED]
    insisted = [name for name in differing if name not in FIXED | FREE | LENGTH]
    groups = ((never, "no run can go on with that"), ([] if override else insisted, "--override goes on nevertheless"))
    refused = [
        f"{', '.join(f'{name} was {_shown(before.get(name))}, now {_shown(now.get(name))}' for name in names)} ({way})"
        for names, way in groups
        if names
    ]
    if refused:
        raise CheckpointError(
            f"the run to resume has other settings: {'; '.join(refused)}; --overwrite begins a new run"
        )
    return [name for name in differing if name not in FREE]


def text_facts(corpus: EncodedCorpus) -> dict[str, Any]:
    """What a snapshot says of the text: its digest, and all that tells a person in what another one differs."""
    return {
        "corpus": corpus.sha256,
        "text": {"characters": len(corpus.indices), "distinct": len(corpus.vocabulary)},
        "source": asdict(_from_anywhere(corpus.source)),
        "rules": asdict(corpus.rules),
    }


def source_of(facts: Mapping[str, Any]) -> Source | None:
    """What the run read, if its snapshot says so: those of earlier versions do not. Raises CheckpointError."""
    if "source" not in facts:
        return None
    try:
        return Source(**{**facts["source"], "corpora": tuple(facts["source"]["corpora"])})
    except (TypeError, KeyError) as error:
        raise CheckpointError(f"the run to resume is of another version of this program ({error})") from error


def check_text(before: Mapping[str, Any], corpus: EncodedCorpus) -> None:
    """`before`: the facts of a snapshot. Raises CheckpointError that names what differs where it is another text."""
    now = text_facts(corpus)
    if before["corpus"] == now["corpus"]:
        return
    if "source" not in before:
        raise CheckpointError(
            "the run to resume read another text, and is of a version that does not record which; give the --corpus, "
            "--encoding, --max-chars, --keep-newlines and --keep-case that it began with"
        )
    differing = [
        f"{_OPTIONS[name]} was {_shown(was)}, now {_shown(now[part][name])}"
        for part in ("source", "rules")
        for name, was in before[part].items()
        if name in _OPTIONS and _plain(was) != _plain(now[part][name])
    ]
    differing += [
        f"the text has {now['text'][name]:,} {what}, it had {was:,}"
        for name, what in (("characters", "characters"), ("distinct", "distinct characters"))
        if (was := before["text"][name]) != now["text"][name]
    ]
    told = "; ".join(differing) or "as many characters, but not the same ones"
    raise CheckpointError(f"{corpus.name}: is not the text that the run to resume read: {told}")


_OPTIONS = {
    "corpora": "--corpus", "encoding": "--encoding", "errors": "--errors", "join": "--join", "max_chars": "--max-chars",
    "lowercase": "lower-casing", "newlines": "what becomes of line ends",
}  # fmt: skip


def _from_anywhere(source: Source) -> Source:
    """The same from whatever folder a run goes on in."""
    by_name = (*EMBEDDED, *STANDARD_INPUT)
    return replace(source, corpora=tuple(c if c in by_name else os.path.abspath(c) for c in source.corpora))


def _plain(value: Any) -> Any:
    """As JSON gives it back."""
    return list(value) if isinstance(value, tuple) else value


def _shown(value: Any) -> str:
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value))
    return "off" if value is None else f"{value}"
