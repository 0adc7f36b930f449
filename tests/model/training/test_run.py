from __future__ import annotations

import errno
import json
import os
import re
import struct
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from model import versions
from model.checkpoint import FILE_NAME, load, save
from model.errors import CheckpointError, OptionError, TrainingError, show
from model.files import serialise
from model.text.corpus import Corpus
from model.text.encoding import encode
from model.text.rules import TextRules
from model.training import Trainer, TrainingOptions
from model.training import run as module
from model.training.report import events, journal
from model.training.report.journal import SAMPLES_NAME, read_metrics
from model.training.run import RESUME_NAME, check_free, check_name, read_snapshot, run, save_snapshot
from tests.models import random_checkpoint

TEXT = "the quick brown fox jumps over the lazy dog; " * 10
SMALL: dict[str, Any] = {
    "hidden_dim": 8, "num_steps": 8, "batch_size": 4, "epochs": 3, "optimizer": "adam", "learning_rate": 0.01,
    "loss_reduction": "mean", "pred_period": 1, "pred_len": 5, "save_every_s": 0.0, "backend": "cpu",
}  # fmt: skip


@pytest.fixture(autouse=True)
def no_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    """Most of a short run's time goes into the picture it leaves, of which these tests say nothing."""
    monkeypatch.setattr(journal, "draw_picture", lambda *_: None)


def trainer(**changes: Any) -> Trainer:
    corpus = encode(Corpus("test", TEXT, "0" * 64), TextRules())
    return Trainer(corpus, TrainingOptions(**{**SMALL, **changes}))


def resumed(out: Path, override: bool = False, **changes: Any) -> Trainer:
    made, snapshot = trainer(**changes), read_snapshot(out)
    made.restore(snapshot.arrays, snapshot.facts, override)
    return made


def files(folder: Path) -> dict[str, bytes]:
    return {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


def test_the_model_is_replaced_once_at_the_end_and_the_one_before_is_kept(tmp_path: Path) -> None:
    before = save(tmp_path, random_checkpoint())
    for event in run(trainer(), tmp_path, overwrite=True):
        if not isinstance(event, events.Finished):
            assert load(tmp_path).digest == before
        if isinstance(event, events.BatchDone):
            assert read_snapshot(tmp_path).facts["position"]["step"] == event.batch + 14 * (event.epoch - 1)
    after = load(tmp_path)
    assert after.training["epochs"] == 3
    assert [version.digest for version in versions.versions(tmp_path)] == [before]


def test_a_run_that_is_cut_anywhere_leaves_the_old_model_and_goes_on_to_the_same_one(tmp_path: Path) -> None:
    list(run(trainer(), tmp_path / "whole"))
    wanted = load(tmp_path / "whole")
    figures = [(line["epoch"], line["train_perplexity"]) for line in read_metrics(tmp_path / "whole")]
    samples = (tmp_path / "whole" / SAMPLES_NAME).read_text()
    count = len(list(trainer().events()))
    for cut in (2, 16, 20, count - 2):  # early, before and after an epoch's line, before the end
        out = tmp_path / str(cut)
        before = save(out, random_checkpoint())
        stream = run(trainer(), out, overwrite=True)
        for _ in range(cut):
            next(stream)
        del stream
        assert load(out).digest == before
        list(run(resumed(out), out))
        ours = load(out)
        assert all(ours.parameters[n].tobytes() == wanted.parameters[n].tobytes() for n in wanted.parameters)
        assert [(line["epoch"], line["train_perplexity"]) for line in read_metrics(out)] == figures
        assert (out / SAMPLES_NAME).read_text() == samples


def as_version_0_1_wrote_it(out: Path, **options: Any) -> None:
    """The snapshot in `out` with the words of the time when the cpu backend was called numpy."""
    snapshot = read_snapshot(out)
    facts = {**snapshot.facts, "backend": "numpy"}
    facts["options"] |= {"backend": "numpy", "warmup": 0.0, "dropout_input": 0.0, **options}
    metadata = {"format": module.RESUME_FORMAT, "facts": json.dumps(facts)}
    (out / RESUME_NAME).write_bytes(serialise(snapshot.arrays, metadata)[0])


def test_a_run_of_before_the_names_changed_goes_on_to_the_same_bytes(tmp_path: Path) -> None:
    list(run(trainer(dropout_output=0.3), tmp_path / "whole"))
    wanted = load(tmp_path / "whole")
    stream = run(trainer(dropout_output=0.3), tmp_path / "old")
    for _ in range(20):
        next(stream)
    del stream
    as_version_0_1_wrote_it(tmp_path / "old")
    snapshot = read_snapshot(tmp_path / "old")
    assert (snapshot.facts["backend"], snapshot.facts["options"]["backend"]) == ("numpy", "numpy")
    goes_on = Trainer(trainer().corpus, TrainingOptions.from_record(snapshot.facts["options"]))
    goes_on.restore(snapshot.arrays, snapshot.facts)
    list(run(goes_on, tmp_path / "old"))
    ours = load(tmp_path / "old")
    assert ours.parameters.keys() == wanted.parameters.keys()
    assert all(ours.parameters[n].tobytes() == wanted.parameters[n].tobytes() for n in wanted.parameters)
    assert (ours.training["changed_on_resume"], ours.training["repeatable"]) == ([], True)
    assert (ours.training["backend"], ours.training["options"]["backend"]) == ("cpu", "cpu")


def test_a_run_with_an_option_that_is_gone_is_refused_by_name(tmp_path: Path) -> None:
    save_snapshot(trainer(), tmp_path)
    as_version_0_1_wrote_it(tmp_path, warmup=0.25)
    for override in (False, True):
        with pytest.raises(CheckpointError, match=r"cannot go on: warmup: was 0\.25; this version has no such"):
            resumed(tmp_path, override)


def test_without_tensorboardx_its_events_are_refused_before_anything_is_touched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    list(run(trainer(), tmp_path / "there"))
    before = files(tmp_path)
    monkeypatch.setitem(sys.modules, "tensorboardX", None)
    for out in ("there", "new"):
        with pytest.raises(OptionError, match=r"tensorboardX is not installed \(the extra `tensorboard` brings it\)"):
            next(run(trainer(), tmp_path / out, tensorboard=True, overwrite=True))
    assert files(tmp_path) == before
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("what", [FILE_NAME, RESUME_NAME])
def test_a_folder_that_holds_something_is_not_touched_by_a_new_run(tmp_path: Path, what: str) -> None:
    list(run(trainer(), tmp_path))
    for name in {FILE_NAME, RESUME_NAME} - {what}:
        (tmp_path / name).unlink()
    before = files(tmp_path)
    for attempt in (lambda: check_free(tmp_path), lambda: next(run(trainer(), tmp_path))):
        with pytest.raises(TrainingError, match=r"already: --resume .* --overwrite"):
            attempt()
    assert files(tmp_path) == before


def test_overwriting_begins_anew_and_keeps_the_model_until_the_end(tmp_path: Path) -> None:
    list(run(trainer(), tmp_path))
    first = load(tmp_path).digest
    stream = run(trainer(seed=1, save_every_s=1e6), tmp_path, overwrite=True)
    while not isinstance(next(stream), events.EpochDone):
        pass
    assert load(tmp_path).digest == first
    assert not (tmp_path / RESUME_NAME).exists()
    assert [line["epoch"] for line in read_metrics(tmp_path)] == [1]
    list(stream)
    assert [version.digest for version in versions.versions(tmp_path)] == [first]
    list(run(trainer(), tmp_path / "new", overwrite=True))
    assert versions.versions(tmp_path / "new") == []


def test_a_run_that_was_over_and_is_resumed_leaves_no_version_of_itself(tmp_path: Path) -> None:
    list(run(trainer(), tmp_path))
    before = load(tmp_path).digest
    list(run(resumed(tmp_path), tmp_path))
    assert load(tmp_path).digest == before
    assert versions.versions(tmp_path) == []
    list(run(resumed(tmp_path, epochs=4), tmp_path))
    assert load(tmp_path).training["epochs"] == 4
    assert [version.digest for version in versions.versions(tmp_path)] == [before]


def test_a_run_that_is_stopped_publishes_what_there_is_and_one_without_an_update_nothing(tmp_path: Path) -> None:
    stopped = trainer(epochs=1000)
    for event in run(stopped, tmp_path):
        if isinstance(event, events.BatchDone) and stopped.position.step == 17:
            stopped.request_stop()
    record = load(tmp_path).training
    assert (record["ended"], record["steps"], record["epochs"]) == ("stopped", 17, 1)
    assert read_snapshot(tmp_path).facts["position"]["step"] == 17
    never = trainer()
    never.request_stop()
    list(run(never, tmp_path / "never"))
    assert not (tmp_path / "never" / FILE_NAME).exists()
    assert not (tmp_path / "never" / RESUME_NAME).exists()


def test_a_run_that_diverged_publishes_its_best_epoch_or_nothing(tmp_path: Path) -> None:
    before = save(tmp_path, random_checkpoint())
    hopeless = {"learning_rate": 1000.0, "optimizer": "sgd", "loss_reduction": "sum", "clipping_theta": 1e9}
    *_, finished = run(trainer(**hopeless), tmp_path, overwrite=True)
    assert isinstance(finished, events.Finished)
    assert (finished.reason, finished.best_epoch) == ("diverged", 0)
    assert load(tmp_path).digest == before
    (line,) = (tmp_path / "metrics.jsonl").read_text().splitlines()
    assert json.loads(line, parse_constant=lambda c: pytest.fail(c))["epoch"] == 1

    late = trainer(save_every_s=1e6)
    for event in run(late, tmp_path, overwrite=True):
        if isinstance(event, events.EpochDone) and event.epoch == 2:
            late.backend.weights[:] *= 1e5
    record = load(tmp_path).training
    assert (record["ended"], record["best_epoch"], record["diverged_in_epoch"]) == ("diverged", 2, 3)
    assert [version.digest for version in versions.versions(tmp_path)] == [before]
    data = (tmp_path / FILE_NAME).read_bytes()
    header = json.loads(data[8 : 8 + struct.unpack("<Q", data[:8])[0]])
    json.loads(header["__metadata__"]["training"], parse_constant=lambda c: pytest.fail(c))


def test_a_diverged_run_can_be_taken_up_with_another_rate(tmp_path: Path) -> None:
    """Its last snapshot is of before."""
    late = trainer()
    for event in run(late, tmp_path):
        if isinstance(event, events.EpochDone) and event.epoch == 2:
            late.backend.weights[:] *= 1e5
    assert read_snapshot(tmp_path).facts["position"]["epoch"] == 2
    list(run(resumed(tmp_path, override=True, learning_rate=0.005), tmp_path))
    assert load(tmp_path).training["ended"] == "epochs"


def full(*_: object, **__: object) -> Any:
    raise OSError(errno.ENOSPC, "No space left on device")


def test_a_disk_that_fills_on_the_way_is_told_once_and_training_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    happened = []
    for event in run(trainer(), tmp_path):
        happened.append(event)
        if isinstance(event, events.BatchDone) and (event.epoch, event.batch) == (1, 3):
            monkeypatch.setattr("model.files.secrets.token_hex", full)
            monkeypatch.setattr(Path, "open", full)
        if isinstance(event, events.EpochDone) and event.epoch == 3:
            monkeypatch.undo()
    told = [event.text for event in happened if isinstance(event, events.Advice) and "goes on" in event.text]
    assert len(told) == 2  # of the snapshot, of the journal
    assert all("No space left on device" in text for text in told)
    assert load(tmp_path).training["epochs"] == 3


def test_a_disk_that_is_full_at_the_end_keeps_the_old_model_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = save(tmp_path, random_checkpoint())
    stream = run(trainer(), tmp_path, overwrite=True)
    for event in stream:
        if isinstance(event, events.EpochDone) and event.epoch == 3:
            break
    monkeypatch.setattr("model.files.secrets.token_hex", full)
    with pytest.raises(CheckpointError, match=r"not saved \(No space left on device\)"):
        list(stream)
    monkeypatch.undo()
    assert load(tmp_path).digest == before
    list(run(resumed(tmp_path), tmp_path))
    assert load(tmp_path).training["epochs"] == 3


def test_two_runs_do_not_write_into_one_folder(tmp_path: Path) -> None:
    first = run(trainer(), tmp_path)
    next(first)
    with pytest.raises(TrainingError, match="another run is training into it"):
        next(run(trainer(), tmp_path))
    first.close()  # type: ignore[attr-defined]
    list(run(trainer(), tmp_path))


def test_what_a_kill_left_half_written_is_removed_and_nothing_else(tmp_path: Path) -> None:
    mine = [tmp_path / ".hidden", tmp_path / "notes.tmp", tmp_path / ".model.tmp"]
    left = [tmp_path / ".resume.safetensors.ab12.tmp", tmp_path / "versions" / ".x.safetensors.1.tmp"]
    left[1].parent.mkdir()
    for file in mine + left:
        file.write_text("")
    list(run(trainer(), tmp_path))
    assert [file.exists() for file in mine + left] == [True] * 3 + [False] * 2


@pytest.mark.parametrize("name", ["Mine", "my model", ".hidden", "a" * 65, "é", "-x", "_x", "分开"])
def test_a_name_that_would_never_be_served_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(TrainingError, match=f"out: {re.escape(show(name))} cannot be a model's name"):
        check_name(tmp_path / name)


def test_a_name_is_that_of_the_folder_however_it_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("mine", "a" * 64, "0.1_x-y"):
        check_name(tmp_path / name)
    (tmp_path / "mine").mkdir()
    monkeypatch.chdir(tmp_path / "mine")
    check_name(Path())
    check_name(Path("../mine/"))
    (tmp_path / "Bad").mkdir()
    monkeypatch.chdir(tmp_path / "Bad")
    with pytest.raises(TrainingError, match="'Bad'"):
        check_name(Path())


def test_a_snapshot_that_is_none_is_refused_in_words(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="there is no run to resume"):
        read_snapshot(tmp_path)
    save(tmp_path, random_checkpoint())
    os.rename(tmp_path / FILE_NAME, tmp_path / RESUME_NAME)
    with pytest.raises(CheckpointError, match="format is 'nextchar/1', this version reads 'nextchar-resume/1'"):
        read_snapshot(tmp_path)
    save_snapshot(trainer(), tmp_path)
    data = bytearray((tmp_path / RESUME_NAME).read_bytes())
    data[-1] ^= 1
    (tmp_path / RESUME_NAME).write_bytes(data)
    with pytest.raises(CheckpointError, match="is damaged"):
        read_snapshot(tmp_path)
    without, _ = serialise({}, {"format": module.RESUME_FORMAT, "facts": '{"options": {}}'})
    (tmp_path / RESUME_NAME).write_bytes(without)
    with pytest.raises(CheckpointError, match=r"without \['backend', 'corpus', 'position'\]"):
        read_snapshot(tmp_path)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (os.mkfifo, "is a pipe"),
        (lambda file: file.symlink_to("/dev/zero"), "is a device"),
        (lambda file: file.mkdir(), "is a folder"),
        (
            lambda file: file.write_bytes(struct.pack("<Q", 2**63) + b"{}"),
            "its header claims 9,223,372,036,854,775,808",
        ),
        (lambda file: sparse(file, 10**10), "most of it is a hole"),
    ],
)
def test_a_snapshot_that_would_never_end_is_refused_without_being_read(
    make: Callable[[Path], object], words: str, tmp_path: Path
) -> None:
    make(tmp_path / RESUME_NAME)
    with pytest.raises(CheckpointError, match=words) as error:
        read_snapshot(tmp_path)
    assert str(tmp_path / RESUME_NAME) in str(error.value)


def sparse(file: Path, size: int) -> None:
    """A snapshot, as its header says, and then nothing that was ever written."""
    file.write_bytes(serialise({}, {"format": module.RESUME_FORMAT, "facts": "{}"})[0])
    os.truncate(file, size)


def test_a_snapshot_whose_facts_nest_without_end_is_refused_in_words(tmp_path: Path) -> None:
    data, _ = serialise({}, {"format": module.RESUME_FORMAT, "facts": "[" * 100_000})
    (tmp_path / RESUME_NAME).write_bytes(data)
    with pytest.raises(CheckpointError, match="is not a nextchar-resume/1 file"):
        read_snapshot(tmp_path)
