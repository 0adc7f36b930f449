"""A model's folder over time: the model that serves, and the last few that served before it.

`model.safetensors` is the model; `versions/<digest>.safetensors` are those it replaced, and the time of such a file is
when it was replaced. A new model comes in and an old one goes back by renaming one file, so that a reader, and whatever
is left after a kill at any moment, has a whole model. Knows nothing of training or of who serves.
"""

from __future__ import annotations

import contextlib
import os
import re
import time
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from model import checkpoint as checkpoints
from model.checkpoint import FILE_NAME, Checkpoint
from model.errors import CheckpointError, brief
from model.files import open_regular, read_header, read_metadata, sync_folder, write_atomically
from model.plain_record import read_record

FOLDER_NAME = "versions"
KEPT = 5
MODEL_NAME = re.compile(r"[a-z0-9][a-z0-9_.-]{0,63}")  # a folder of another name is not served
_VERSION_NAME = re.compile(r"([0-9a-f]{64})\.safetensors")


@dataclass(frozen=True)
class Version:
    digest: str
    saved_at: float  # seconds since 1970: as its record says, else the time of its file
    train_perplexity: float | None  # None: not in its record, or not finite
    validation_perplexity: float | None
    problem: str | None = None  # why it cannot be restored, as far as its header shows it


def publish(folder: str | Path, checkpoint: Checkpoint) -> str:
    """Makes `checkpoint` the model of `folder` and keeps the one before as a version; returns the new digest.

    One that is damaged is replaced and not kept. Raises CheckpointError where the new one cannot be written or the
    old one cannot be kept; the old one then stays the model.
    """
    folder = Path(folder)
    kept = _keep_present(folder)
    digest = checkpoints.save(folder / FILE_NAME, checkpoint)
    if kept is not None:
        _settle(folder, kept, digest)
    return digest


def present(folder: str | Path) -> Version | None:
    """The model itself, described like a version; None where there is none."""
    file = Path(folder) / FILE_NAME
    return _describe(file) if os.path.lexists(file) else None


def versions(folder: str | Path) -> list[Version]:
    """The models that can be restored, the last one replaced first. Only their headers are read."""
    now = present(folder)
    return [version for version in map(_describe, _files(folder)) if now is None or version.digest != now.digest]


def restore(folder: str | Path, digest: str | None = None) -> Version:
    """Makes a version the model again and keeps the present model as a version; returns what is now the model.

    `digest` is as much of a digest as tells it from others; None is the one that was replaced last. Naming the
    present model changes nothing. Raises CheckpointError where no version, or more than one, is meant, and where the
    one that is meant does not verify or cannot be moved; the present model then stays.
    """
    folder = Path(folder)
    version = _find(folder, digest)
    now = present(folder)
    if now is not None and version.digest == now.digest:
        return now
    file = folder / FOLDER_NAME / f"{version.digest}.safetensors"
    if checkpoints.load(file).digest != version.digest:
        raise CheckpointError(f"{file}: holds another model than its name says")
    kept = _keep_present(folder)
    try:
        os.replace(file, folder / FILE_NAME)
        sync_folder(folder)
    except OSError as error:
        raise CheckpointError(f"{file}: cannot be put back ({error.strerror}); nothing was changed") from error
    if kept is not None:
        _settle(folder, kept, version.digest)
    return version


def _find(folder: Path, digest: str | None) -> Version:
    now, kept = present(folder), versions(folder)
    if digest is None:
        found = [version for version in kept if version.problem is None][:1]
        if not found:
            raise CheckpointError(f"{folder}: there is no version to go back to")
        return found[0]
    found = [version for version in [*([now] if now else []), *kept] if version.digest.startswith(digest.lower())]
    if not digest or not found:
        there = ", ".join(version.digest[:12] for version in kept) or "none"
        raise CheckpointError(f"digest: {folder} has no version {digest!r}; there are: {there}")
    if len(found) > 1:
        meant = ", ".join(version.digest[:12] for version in found)
        raise CheckpointError(f"digest: {digest!r} could be any of {meant}; give more of it")
    if found[0].problem is not None:
        raise CheckpointError(found[0].problem)
    return found[0]


def _keep_present(folder: Path) -> Path | None:
    """The present model's file under its name as a version; None where there is no model that verifies."""
    file = folder / FILE_NAME
    try:
        digest = checkpoints.load(file).digest
    except CheckpointError:
        return None
    kept = folder / FOLDER_NAME / f"{digest}.safetensors"
    temporary = kept.with_name(f".{kept.name}.{os.getpid()}.tmp")
    try:
        kept.parent.mkdir(exist_ok=True)
        try:
            os.link(file.resolve(), temporary)  # takes no room, so a full disk can go back too
            os.replace(temporary, kept)
            sync_folder(kept.parent)
        except OSError:  # a file system without links, or another one behind a symbolic link
            write_atomically(kept, file.read_bytes())
        finally:
            temporary.unlink(missing_ok=True)  # renaming between two names of one file leaves both
    except OSError as error:
        raise CheckpointError(f"{kept}: the present model cannot be kept ({error.strerror}); it stays") from error
    return kept


def _settle(folder: Path, kept: Path, present_digest: str) -> None:
    """Marks `kept` as replaced now, and removes the versions past the last KEPT."""
    with contextlib.suppress(OSError):  # the model itself is in place; only order and tidiness are at stake
        if kept.name != f"{present_digest}.safetensors":
            now = time.time_ns()
            os.utime(kept, ns=(now, now))
        for file in _files(folder)[KEPT:]:
            file.unlink()


def _files(folder: str | Path) -> list[Path]:
    """Files that are versions by their names, the last one replaced first."""
    found = []
    with contextlib.suppress(OSError):
        for file in (Path(folder) / FOLDER_NAME).iterdir():
            if _VERSION_NAME.fullmatch(file.name):
                with contextlib.suppress(OSError):  # removed meanwhile
                    found.append((file.lstat().st_mtime_ns, file))
    return [file for _, file in sorted(found, reverse=True)]


def _describe(file: Path) -> Version:
    """What a file's header says of it; its name, its time and a problem where the header cannot be read."""
    named = _VERSION_NAME.fullmatch(file.name)
    digest, saved_at = named[1] if named else "", 0.0
    try:
        with open_regular(file) as opened:
            saved_at = os.fstat(opened.fileno()).st_mtime
            metadata = read_metadata(read_header(opened, file), str(file))
        record = read_record(metadata["training"])
        if named and metadata["digest"] != digest:
            raise CheckpointError(f"{file}: holds another model than its name says")
        return Version(
            metadata["digest"], _time(record, saved_at), _figure(record, "train_perplexity"),
            _figure(record, "validation_perplexity"),
        )  # fmt: skip
    except CheckpointError as error:
        return Version(digest, saved_at, None, None, str(error))
    except (ValueError, KeyError, RecursionError) as error:
        return Version(digest, saved_at, None, None, f"{file}: is not a checkpoint ({brief(error)})")


def _time(record: dict[str, Any], otherwise: float) -> float:
    try:
        return datetime.fromisoformat(record["saved_at"]).timestamp()
    except (KeyError, TypeError, ValueError, OverflowError):
        return otherwise


def _figure(record: dict[str, Any], key: str) -> float | None:
    value = record.get(key)
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None
