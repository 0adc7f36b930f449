"""A training run with its folder: the checkpoint, and all that is kept beside it.

`model.safetensors` holds the best parameters so far, `resume.safetensors` all that the run needs to go on. Each is
written whole or not at all, so a kill at any moment leaves a run that `resume` takes up.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path

import safetensors.numpy

from model import checkpoint as checkpoints
from model.errors import CheckpointError
from model.training.events import BatchDone, EpochDone, Event, Finished
from model.training.journal import Journal
from model.training.trainer import Trainer

RESUME_NAME = "resume.safetensors"
RESUME_FORMAT = "nextchar-resume/1"


def run(trainer: Trainer, out: Path, tensorboard: bool = False) -> Iterator[Event]:
    """Trains, saves by `save_every_s` and at the end, keeps the journal, and hands the trainer's events on."""
    journal = Journal(out, trainer.position.epoch, tensorboard)
    saved = time.monotonic()
    for event in trainer.events():
        finished = isinstance(event, Finished)
        due = isinstance(event, (BatchDone, EpochDone)) and time.monotonic() - saved >= trainer.options.save_every_s
        if finished or due:
            save(trainer, out)
            saved = time.monotonic()
        journal.note(event)
        if finished:
            journal.close()
        yield event


def save(trainer: Trainer, out: Path) -> None:
    checkpoints.save(out, trainer.checkpoint())
    arrays, facts = trainer.snapshot()
    data, _ = checkpoints.serialise(arrays, {"format": RESUME_FORMAT, "facts": json.dumps(facts)})
    checkpoints.write_atomically(out / RESUME_NAME, data)


def resume(trainer: Trainer, out: Path) -> None:
    """Puts the trainer where the run in `out` was last saved. Raises CheckpointError where there is none."""
    file = out / RESUME_NAME
    try:
        data = file.read_bytes()
    except OSError as error:
        raise CheckpointError(f"{file}: there is no run to resume ({error.strerror})") from error
    metadata = checkpoints.read_metadata(data, str(file))
    if metadata.get("format") != RESUME_FORMAT:
        raise CheckpointError(f"{file}: format is {metadata.get('format')!r}, this version reads {RESUME_FORMAT!r}")
    checkpoints.verify_digest(data, metadata, str(file))
    trainer.restore(safetensors.numpy.load(data), json.loads(metadata["facts"]))
