"""One self-contained, verified file between training and everything that uses a model.

A checkpoint is a safetensors file: the parameters under the book's names, and in the metadata all that is needed to
use them (`format`, `config`, `vocabulary`, `training`, `digest`). It is written so that a reader never sees half of
one, and read so that nothing unverified is ever used. Knows nothing of MXNet or of where checkpoints are kept.
Writing and reading stand side by side because each is only right against the other, hence the length.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import re
import struct
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import safetensors.numpy
from safetensors import SafetensorError

from model.config import ModelConfig
from model.corpus import TextRules
from model.errors import CheckpointError, NextcharError, brief
from model.files import open_regular, read_header, read_tensors
from model.plain_record import read_record, worded
from model.vocabulary import Vocabulary

FORMAT = "nextchar/1"
FILE_NAME = "model.safetensors"
_NO_DIGEST = "0" * 64  # stands in the digest's place while the digest is computed
_FLOAT_BYTES = 4
_UNREADABLE = (KeyError, TypeError, ValueError, AttributeError, RecursionError, NextcharError)  # of hostile metadata

Arrays = dict[str, npt.NDArray[np.float32]]


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


def _parameters_problem(config: ModelConfig, parameters: Mapping[str, npt.NDArray[Any]]) -> str | None:
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


def serialise(arrays: Mapping[str, npt.NDArray[Any]], metadata: Mapping[str, str]) -> tuple[bytes, str]:
    """A safetensors file with its own SHA-256 in the metadata's `digest`, and that digest.

    The digest is of the whole file with 64 zeros in the digest's place. The same arrays and metadata give the same
    bytes: the library writes metadata in a random order, so the header is written again with sorted keys.
    """
    contiguous = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    data = safetensors.numpy.save(contiguous, {**metadata, "digest": _NO_DIGEST})
    header, tensors = _split(data)
    text = json.dumps(json.loads(header), ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)  # tensors begin at a multiple of 8 bytes
    unsigned = struct.pack("<Q", len(text)) + text + tensors
    digest = hashlib.sha256(unsigned).hexdigest()
    at = _digest_offset(unsigned, _NO_DIGEST)
    return unsigned[:at] + digest.encode() + unsigned[at + len(digest) :], digest


def read_metadata(data: bytes, name: str) -> dict[str, str]:
    """The metadata of a safetensors file, unverified. Raises CheckpointError where there is none."""
    try:
        header, _ = _split(data)
        metadata = json.loads(header)["__metadata__"]
        if not all(isinstance(value, str) for value in metadata.values()):
            raise TypeError("metadata that is not text")
    except (struct.error, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise CheckpointError(f"{name}: is not a safetensors file, or is cut short ({brief(error)})") from error
    return dict(metadata)


def verify_digest(data: bytes, metadata: Mapping[str, str], name: str) -> None:
    """Raises CheckpointError unless the metadata's digest is that of the bytes."""
    digest = metadata.get("digest", "")
    at = _digest_offset(data, digest) if re.fullmatch("[0-9a-f]{64}", digest) else -1
    if at >= 0:
        unsigned = hashlib.sha256(data[:at])
        unsigned.update(_NO_DIGEST.encode())
        unsigned.update(memoryview(data)[at + len(digest) :])
        if unsigned.hexdigest() == digest:
            return
    raise CheckpointError(f"{name}: is damaged, its digest does not match its contents")


def _digest_offset(data: bytes, digest: str) -> int:
    key = b'"digest":"'
    at = data.find(key + digest.encode() + b'"')
    return at + len(key) if at >= 0 else -1


def _split(data: bytes) -> tuple[bytes, bytes]:
    (length,) = struct.unpack_from("<Q", data)
    if length > len(data) - 8:
        raise ValueError("its header is longer than the file")
    return data[8 : 8 + length], data[8 + length :]


def _json(value: Any) -> str:
    return json.dumps(worded(value), ensure_ascii=False, allow_nan=False, sort_keys=True, separators=(",", ":"))


def write_atomically(path: Path, data: bytes, verify: Any = None) -> None:
    """Writes through a temporary file in the same folder: fsynced, read back, verified, renamed, folder fsynced."""
    temporary: Path | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent)
        temporary = Path(name)
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o644)  # mkstemp's 0600 would keep a server under another user from reading it
        read = temporary.read_bytes()
        if read != data:
            raise CheckpointError(f"{path}: not saved, the disk gave back other bytes than were written")
        if verify is not None:
            verify(read)
        os.replace(temporary, path)
        temporary = None
        sync_folder(path.parent)
    except OSError as error:
        raise CheckpointError(f"{path}: not saved ({error.strerror}); the file that stood there is kept") from error
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


def sync_folder(folder: Path) -> None:
    """Waits until the names in a folder are on disk: a rename before it outlives a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
