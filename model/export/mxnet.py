"""A model as the chapter's list of five MXNet arrays, out and back in."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from pathlib import Path

import numpy as np

from model.arrays import Untyped
from model.checkpoint import Checkpoint
from model.config import ModelConfig
from model.errors import CheckpointError, brief, describe
from model.text.rules import TextRules
from model.text.vocabulary import Vocabulary

CHAPTER_ORDER = ("W_xh", "W_hh", "b_h", "W_hy", "b_y")
# nd.load ends the process on a damaged file, so another process reads it.
_READ = """
import sys
from model.reference.device import mx, reason
import numpy as np
arrays = mx.nd.load(sys.argv[1])
arrays = list(arrays.values()) if isinstance(arrays, dict) else arrays
np.savez(sys.stdout.buffer, *[a.asnumpy() for a in arrays])
"""


def to_mxnet(checkpoint: Checkpoint, file: Path) -> None:
    """Saves the parameters as the chapter does, a list of five arrays; its vocabulary goes beside it as JSON."""
    c = checkpoint.config
    if (c.cell, c.num_layers) != ("rnn", 1):
        raise CheckpointError(f"the chapter's list of five arrays holds one rnn layer, this is {c.cell} {c.num_layers}")
    from model.reference.device import mx, reason

    words = json.dumps(list(checkpoint.vocabulary.characters), ensure_ascii=False)
    try:
        vocabulary_file(file).write_text(words, encoding="utf-8")
        mx.nd.save(str(file), [mx.nd.array(checkpoint.parameters[name]) for name in CHAPTER_ORDER])
    except (OSError, mx.base.MXNetError) as error:
        raise CheckpointError(f"{file}: cannot be written ({reason(error)})") from error


def vocabulary_file(file: Path) -> Path:
    return file.with_name(file.name + ".vocabulary.json")


def read_vocabulary(file: Path) -> list[str]:
    """The chapter's `idx_to_char` from a JSON list. Raises CheckpointError for anything else."""
    try:
        characters = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise CheckpointError(f"{file}: cannot be read as a JSON list of characters ({brief(error)})") from error
    if not isinstance(characters, list):
        raise CheckpointError(f"{file}: holds no JSON list of characters")
    return characters


def _check_characters(characters: list[str]) -> None:
    places: dict[str, int] = {}
    for place, character in enumerate(characters):
        if not isinstance(character, str) or len(character) != 1:
            raise CheckpointError(f"vocabulary: entry {place} is {brief(repr(character))}, it must be one character")
        if places.setdefault(character, place) != place:
            raise CheckpointError(
                f"vocabulary: entries {places[character]} and {place} are both {describe(character)}; "
                "each character must be there once"
            )


def read_arrays(file: Path) -> list[Untyped]:
    """The arrays in a file of MXNet's, in their order. Raises CheckpointError where there is none or it is damaged."""
    import model.reference.device  # noqa: F401 - says here why MXNet is not there, where it is not

    done = subprocess.run([sys.executable, "-c", _READ, str(file)], capture_output=True, check=False)
    if done.returncode:
        raise CheckpointError(f"{file}: MXNet cannot read it")
    with np.load(io.BytesIO(done.stdout)) as stored:
        return [stored[name] for name in stored.files]


def from_mxnet(file: Path, characters: list[str], rules: TextRules) -> Checkpoint:
    """A model of the chapter's five arrays. `characters` is its `idx_to_char`, in whatever order that was.

    Raises CheckpointError for a file or a list that are not the chapter's, with the entry or the array that is wrong.
    """
    _check_characters(characters)
    arrays = read_arrays(file)
    if len(arrays) != len(CHAPTER_ORDER):
        raise CheckpointError(f"{file}: holds {len(arrays)} arrays, the chapter's model has {len(CHAPTER_ORDER)}")
    try:
        vocabulary = Vocabulary(sorted(characters))
    except ValueError as error:  # half of a surrogate pair
        raise CheckpointError(f"vocabulary: {error}") from error
    config = ModelConfig("rnn", 1, arrays[2].size, len(vocabulary))  # b_h has one number per hidden unit
    parameters: dict[str, Untyped] = dict(zip(CHAPTER_ORDER, arrays, strict=True))
    for name, shape in config.parameter_shapes().items():
        if parameters[name].shape != shape:
            raise CheckpointError(f"{file}: {name} has shape {parameters[name].shape}, {shape} was expected")
    # The chapter's order of characters is that of a set; ours is that of code points.
    order = np.argsort(np.array([ord(c) for c in characters]))
    parameters["W_xh"], parameters["W_hy"] = parameters["W_xh"][order], parameters["W_hy"][:, order]
    parameters["b_y"] = parameters["b_y"][order]
    named = {name: np.ascontiguousarray(array, np.float32) for name, array in parameters.items()}
    return Checkpoint(config, rules, vocabulary, named, {"imported_from": file.name})
