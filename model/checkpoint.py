"""One self-contained, verified file between training and everything that uses a model.

A checkpoint is a safetensors file: the parameters under the book's names, and in the metadata all that is needed to
use them (`format`, `config`, `vocabulary`, `training`, `digest`). It is written so that a reader never sees half of
one, and read so that nothing unverified is ever used. Knows nothing of MXNet or of where checkpoints are kept.
How such a file is written, signed and read stands in `files`.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.numpy
from safetensors import SafetensorError

from model.arrays import Float32s, Untyped
from model.config import ModelConfig
from model.errors import CheckpointError, NextcharError, brief
from model.files import (
    open_regular,
    read_header,
    read_metadata,
    read_tensors,
    serialise,
    verify_digest,
    write_atomically,
)
from model.plain_record import read_record, worded
from model.text.rules import TextRules
from model.text.vocabulary import Vocabulary

FORMAT = "nextchar/1"
FILE_NAME = "model.safetensors"
_FLOAT_BYTES = 4
_UNREADABLE = (KeyError, TypeError, ValueError, AttributeError, RecursionError, NextcharError)  # of hostile metadata
Arrays = dict[str, Float32s]


@dataclass(frozen=True)
class Checkpoint:
    """A model, complete. `training` is the record of how it came to be; `digest` names these very bytes."""

    config: ModelConfig
    rules: TextRules
    vocabulary: Vocabulary
    parameters: Arrays
    training: dict[str, Any] = field(default_factory=dict)
    digest: str = ""


def checkpoint_path(path: str | Path) -> Path:
    """The file meant by a path to it or to the folder that holds it."""
    path = Path(path)
    return path / FILE_NAME if os.path.isdir(path) or path.suffix != ".safetensors" else path


def save(path: str | Path, checkpoint: Checkpoint) -> str:
    """Writes a checkpoint to `path` (a folder, made if need be, or a `.safetensors` file) and returns its digest.

    A reader, and whatever is left after a crash at any moment, has the old file or the new one, whole.
    Raises CheckpointError where it cannot be written; the file that stood there stays.
    """
    problem = _parameters_problem(checkpoint.config, checkpoint.parameters)
    if problem is not None:
        raise CheckpointError(f"{path}: not saved, {problem}")
    data, digest = _serialise(checkpoint)
    write_atomically(checkpoint_path(path), data, verify=lambda read: parse(read, str(path)))
    return digest


def load(path: str | Path) -> Checkpoint:
    """Reads and verifies a checkpoint. Raises CheckpointError with one sentence that says what is wrong.

    The header is read first; a file that is not of the size that follows from its configuration is not read at all.
    """
    file = checkpoint_path(path)
    with open_regular(file) as opened:
        header = read_header(opened, file)
        config, _ = _read_config(read_metadata(header, str(file)), str(file))
        tensor_bytes = sum(math.prod(shape) for shape in config.parameter_shapes().values()) * _FLOAT_BYTES
        data = read_tensors(opened, file, header, tensor_bytes)
    return parse(data, str(file))


def parse(data: bytes, name: str) -> Checkpoint:
    """The checkpoint held by the bytes of a file; `name` stands in messages."""
    metadata = read_metadata(data, name)
    config, rules = _read_config(metadata, name)
    verify_digest(data, metadata, name)
    try:
        vocabulary = Vocabulary(_list(json.loads(metadata["vocabulary"])))
        training = read_record(metadata["training"])
        parameters = safetensors.numpy.load(data)
    except (*_UNREADABLE, SafetensorError) as error:
        raise CheckpointError(f"{name}: is not a {FORMAT} checkpoint ({brief(error)})") from error
    if len(vocabulary) != config.vocab_size:
        raise CheckpointError(
            f"{name}: its vocabulary has {len(vocabulary)} characters, its configuration says {config.vocab_size}"
        )
    problem = _parameters_problem(config, parameters)
    if problem is not None:
        raise CheckpointError(f"{name}: {problem}")
    return Checkpoint(config, rules, vocabulary, parameters, training, metadata["digest"])


def _read_config(metadata: Mapping[str, str], name: str) -> tuple[ModelConfig, TextRules]:
    if metadata.get("format") != FORMAT:
        given = brief(repr(metadata.get("format")))
        raise CheckpointError(f"{name}: format is {given}, this version reads {FORMAT!r}")
    try:
        config = json.loads(metadata["config"])
        rules = TextRules(**{key: config.pop(key) for key in ("lowercase", "newlines", "normalisation")})
        return ModelConfig(**config), rules
    except _UNREADABLE as error:
        raise CheckpointError(f"{name}: is not a {FORMAT} checkpoint ({brief(error)})") from error


def _list(value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise TypeError("its vocabulary is not a list")
    return value


def _parameters_problem(config: ModelConfig, parameters: Mapping[str, Untyped]) -> str | None:
    shapes = config.parameter_shapes()
    if set(parameters) != set(shapes):
        missing, extra = sorted(set(shapes) - set(parameters)), sorted(set(parameters) - set(shapes))
        return brief(f"its tensors are not those of its configuration (missing {missing}, unknown {extra})")
    for tensor, shape in shapes.items():
        array = parameters[tensor]
        if array.dtype != np.float32:
            return f"{tensor} is {array.dtype}, it must be float32"
        if array.shape != shape:
            return f"{tensor} has shape {array.shape}, its configuration says {shape}"
        if not np.isfinite(array).all():
            return f"{tensor} holds values that are not finite"
    return None


def _serialise(checkpoint: Checkpoint) -> tuple[bytes, str]:
    metadata = {
        "format": FORMAT,
        "config": _json({**asdict(checkpoint.config), **asdict(checkpoint.rules)}),
        "vocabulary": _json(list(checkpoint.vocabulary.characters)),
        "training": _json(checkpoint.training),
    }
    return serialise(checkpoint.parameters, metadata)


def _json(value: Any) -> str:
    return json.dumps(worded(value), ensure_ascii=False, allow_nan=False, sort_keys=True, separators=(",", ":"))
