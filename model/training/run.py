"""A training run with its folder: what is kept while it goes on, and the model that it leaves.

While a run goes on, `resume.safetensors` alone is written, with all that it needs to go on; `model.safetensors` is
replaced once, when it ends, and the model before is kept as a version (`model.versions`). Each is written whole or not
at all, so a kill at any moment leaves the old model and a run that can be taken up.

Longer than a page because the order in which the files of one folder are written is what a kill tests.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.numpy
from safetensors import SafetensorError

from model import checkpoint as checkpoints
from model import versions
from model.arrays import Reals
from model.checkpoint import Checkpoint
from model.errors import CheckpointError, NextcharError, TrainingError, brief, show
from model.files import (
    open_regular,
    read_header,
    read_metadata,
    read_tensors,
    serialise,
    verify_digest,
    write_atomically,
)
from model.plain_record import worded
from model.training.report.events import Advice, BatchDone, EpochDone, Event, Finished
from model.training.report.journal import Journal, check_tensorboard
from model.training.trainer import Trainer

RESUME_NAME = "resume.safetensors"
RESUME_FORMAT = "nextchar-resume/1"


@dataclass(frozen=True)
class Snapshot:
    """What `Trainer.snapshot` gave, read back: `trainer.restore(snapshot.arrays, snapshot.facts)`."""

    arrays: dict[str, Reals]
    facts: dict[str, Any]


def check_name(out: Path) -> None:
    """Raises TrainingError for a folder whose name a service would pass over."""
    name = Path(os.path.abspath(out)).name
    if not versions.MODEL_NAME.fullmatch(name):
        raise TrainingError(
            f"out: {show(name)} cannot be a model's name and would never be served; a name is at most 64 small letters "
            "a–z, digits, '.', '_' and '-', and begins with a letter or a digit"
        )


def check_free(out: Path) -> None:
    """Raises TrainingError where a new run would take the place of what stands in `out`."""
    for name, what in ((checkpoints.FILE_NAME, "a model"), (RESUME_NAME, "a run that did not end")):
        if os.path.lexists(out / name):
            raise TrainingError(
                f"{out} holds {what} already: --resume goes on with its run, --overwrite trains a new one from the "
                f"start (a model is kept as a version, see nextchar models; a run is not), another --out keeps both"
            )


def run(trainer: Trainer, out: Path, tensorboard: bool = False, overwrite: bool = False) -> Iterator[Event]:
    """Trains, keeps snapshots by `save_every_s` and the journal, hands events on, and publishes the model at the end.

    A trainer that was restored goes on with the run in `out`; another one needs `overwrite` where there is something.
    What cannot be written on the way is told and training goes on. Raises TrainingError where `out` is taken,
    CheckpointError where the model cannot be written at the end, OptionError for TensorBoard's events where nothing
    can write them.
    """
    if tensorboard:
        check_tensorboard()
    resumed = trainer.position.step > 0
    if not (resumed or overwrite):
        check_free(out)
    with _alone_in(out), Journal(out, trainer.position.epoch, tensorboard) as journal:
        _clear_leftovers(out)
        if not resumed:
            (out / RESUME_NAME).unlink(missing_ok=True)
        saved, told = time.monotonic(), set[str]()
        for event in trainer.events():
            yield from _trying(partial(journal.note, event), told)
            due = isinstance(event, BatchDone | EpochDone) and time.monotonic() - saved >= trainer.options.save_every_s
            if due and trainer.ended is None:
                yield from _trying(partial(save_snapshot, trainer, out), told)
                saved = time.monotonic()
            elif isinstance(event, Finished):
                yield from _trying(journal.close, told)
                if event.reason != "diverged" or event.best_epoch:
                    yield from _publish(trainer, out, told)
            yield event


def save_snapshot(trainer: Trainer, out: Path) -> None:
    """Raises CheckpointError where it cannot be written; the snapshot before it stays."""
    arrays, facts = trainer.snapshot()
    text = json.dumps(worded(facts), allow_nan=False)
    data, _ = serialise(arrays, {"format": RESUME_FORMAT, "facts": text})
    write_atomically(out / RESUME_NAME, data)


def read_snapshot(out: Path) -> Snapshot:
    """The last snapshot of the run in `out`. Raises CheckpointError where there is none that verifies."""
    file = out / RESUME_NAME
    if not os.path.lexists(file):
        raise CheckpointError(f"{file}: there is no run to resume")
    with open_regular(file) as opened:
        header = read_header(opened, file)
        metadata = read_metadata(header, str(file))
        if metadata.get("format") != RESUME_FORMAT:
            given = brief(repr(metadata.get("format")))
            raise CheckpointError(f"{file}: format is {given}, this version reads {RESUME_FORMAT!r}")
        data = read_tensors(opened, file, header, os.fstat(opened.fileno()).st_size - len(header))
    verify_digest(data, metadata, str(file))
    try:
        facts = json.loads(metadata["facts"])
        if missing := {"options", "corpus", "backend", "position"} - set(facts):
            raise ValueError(f"without {sorted(missing)}")
        return Snapshot(safetensors.numpy.load(data), facts)
    except (KeyError, ValueError, TypeError, RecursionError, SafetensorError) as error:
        raise CheckpointError(f"{file}: is not a {RESUME_FORMAT} file ({brief(error)})") from error


def _publish(trainer: Trainer, out: Path, told: set[str]) -> Iterator[Event]:
    """The model first: where there is room for one file only, it is the one that is wanted."""
    if trainer.position.step == 0:
        return
    try:
        checkpoint = trainer.checkpoint()
        if not _holds(out, checkpoint):
            versions.publish(out, checkpoint)
    finally:
        if trainer.ended != "diverged":  # the snapshot before it can be taken up with other settings
            yield from _trying(partial(save_snapshot, trainer, out), told)


def _holds(out: Path, checkpoint: Checkpoint) -> bool:
    """Whether the model in `out` has these parameters: a run that was over before it was resumed leaves no version."""
    try:
        there = checkpoints.load(out / checkpoints.FILE_NAME)
    except CheckpointError:
        return False
    return there.config == checkpoint.config and all(
        np.array_equal(array, there.parameters[name]) for name, array in checkpoint.parameters.items()
    )


def _trying(action: Callable[[], None], told: set[str]) -> Iterator[Event]:
    """Does something that training does not depend on. What goes wrong is told, the same thing once."""
    try:
        action()
    except (OSError, NextcharError) as error:
        words = f"{error}; training goes on"
        if words not in told:
            told.add(words)
            yield Advice(words)


@contextlib.contextmanager
def _alone_in(out: Path) -> Iterator[None]:
    """Makes the folder and holds it, so that two runs do not write into each other's. Raises TrainingError if taken."""
    try:
        out.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=out).close()  # a folder that is there may be read-only
        descriptor = os.open(out, os.O_RDONLY)
    except FileExistsError:
        raise TrainingError(f"{out}: is a file; name a folder with --out") from None
    except OSError as error:
        raise TrainingError(
            f"{out}: cannot be written to ({error.strerror}); name a folder that can be with --out"
        ) from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise TrainingError(f"{out}: another run is training into it") from None
    except OSError:
        pass  # a file system without locks
    try:
        yield
    finally:
        os.close(descriptor)


def _clear_leftovers(out: Path) -> None:
    """What a kill in the middle of writing left, which nobody would ever read."""
    for file in (*out.glob(".*.safetensors.*.tmp"), *(out / versions.FOLDER_NAME).glob(".*.safetensors.*.tmp")):
        file.unlink(missing_ok=True)
