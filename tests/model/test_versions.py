from __future__ import annotations

import errno
import hashlib
import json
import os
import signal
import struct
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from model.checkpoint import FILE_NAME, Checkpoint, load, save
from model.errors import CheckpointError
from model.versions import FOLDER_NAME, KEPT, present, publish, restore, versions
from tests.models import random_checkpoint


def model(seed: int, **record: Any) -> Checkpoint:
    return replace(random_checkpoint(hidden_dim=2, characters="abc", seed=seed), training=record)


def published(folder: Path, count: int) -> list[str]:
    """Digests of `count` models, published one after the other."""
    return [publish(folder, model(seed)) for seed in range(count)]


def digests(folder: Path) -> list[str]:
    return [version.digest for version in versions(folder)]


def independent_digest(file: Path) -> str:
    """As docs/decisions.md has it: SHA-256 of the file with 64 zeros where its digest stands."""
    data = file.read_bytes()
    (length,) = struct.unpack("<Q", data[:8])
    digest = json.loads(data[8 : 8 + length])["__metadata__"]["digest"].encode()
    assert hashlib.sha256(data.replace(digest, b"0" * 64, 1)).hexdigest().encode() == digest
    return str(digest.decode())


def test_the_model_before_is_kept_and_the_last_replaced_comes_first(tmp_path: Path) -> None:
    a, b, c = published(tmp_path / "m", 3)
    assert load(tmp_path / "m").digest == c
    assert digests(tmp_path / "m") == [b, a]
    for digest in (a, b):
        assert independent_digest(tmp_path / "m" / FOLDER_NAME / f"{digest}.safetensors") == digest


def test_only_the_last_few_are_kept(tmp_path: Path) -> None:
    all_of_them = published(tmp_path, KEPT + 4)
    assert digests(tmp_path) == all_of_them[-2 : -KEPT - 2 : -1]
    assert len(list((tmp_path / FOLDER_NAME).iterdir())) == KEPT


def test_going_back_puts_the_very_bytes_back_and_keeps_the_present_ones(tmp_path: Path) -> None:
    publish(tmp_path, model(0))
    before = (tmp_path / FILE_NAME).read_bytes()
    second = publish(tmp_path, model(1))
    assert restore(tmp_path).digest == load(tmp_path).digest
    assert (tmp_path / FILE_NAME).read_bytes() == before
    assert digests(tmp_path) == [second]


def test_going_back_twice_without_a_digest_undoes_it(tmp_path: Path) -> None:
    a, b, c = published(tmp_path, 3)
    assert (restore(tmp_path).digest, digests(tmp_path)) == (b, [c, a])
    assert (restore(tmp_path).digest, digests(tmp_path)) == (c, [b, a])


def test_the_one_that_was_put_back_is_the_one_before_the_next(tmp_path: Path) -> None:
    """An old model serves again, then a new one is trained that disappoints: it is the old one that is wanted."""
    olds = published(tmp_path, KEPT + 1)
    restore(tmp_path, olds[0])
    publish(tmp_path, model(100))
    assert digests(tmp_path)[0] == olds[0]
    assert restore(tmp_path).digest == olds[0]


def test_a_version_is_found_by_the_beginning_of_its_digest(tmp_path: Path) -> None:
    a, b, _ = published(tmp_path, 3)
    at = next(i for i in range(64) if a[i] != b[i])
    assert restore(tmp_path, a[: at + 1].upper()).digest == a


def test_a_digest_that_is_unknown_ambiguous_or_empty_is_refused_and_changes_nothing(tmp_path: Path) -> None:
    known = published(tmp_path, KEPT + 1)
    count = 0
    seed = 50
    while len({d[0] for d in digests(tmp_path)}) == KEPT:  # until two begin alike
        known.append(publish(tmp_path, model(seed)))
        seed, count = seed + 1, count + 1
    first = [d[0] for d in [*digests(tmp_path), load(tmp_path).digest]]
    twice = next(letter for letter in first if first.count(letter) > 1)
    unknown = next(letter for letter in "0123456789abcdef" if letter not in first)
    for digest, words in {
        twice: "could be any of [0-9a-f]{12}, [0-9a-f]{12}(, [0-9a-f]{12})*; give more",
        unknown: "has no version",
        "": "has no version",
        "zz": "has no",
    }.items():
        with pytest.raises(CheckpointError, match=words):
            restore(tmp_path, digest)
    assert load(tmp_path).digest == known[-1]


def test_the_present_one_needs_no_restoring(tmp_path: Path) -> None:
    a, b = published(tmp_path, 2)
    assert restore(tmp_path, b[:12]).digest == b
    assert (load(tmp_path).digest, digests(tmp_path)) == (b, [a])


def test_with_nothing_to_go_back_to_it_says_so(tmp_path: Path) -> None:
    published(tmp_path, 1)
    with pytest.raises(CheckpointError, match="no version to go back to"):
        restore(tmp_path)
    assert versions(tmp_path / "nowhere") == []
    assert present(tmp_path / "nowhere") is None


def flip(file: Path) -> None:
    data = bytearray(file.read_bytes())
    data[-1] ^= 1  # in a tensor: the header does not show it
    file.write_bytes(data)


def test_a_damaged_version_is_not_put_back(tmp_path: Path) -> None:
    a, b = published(tmp_path, 2)
    flip(tmp_path / FOLDER_NAME / f"{a}.safetensors")
    with pytest.raises(CheckpointError, match="is damaged"):
        restore(tmp_path, a)
    assert load(tmp_path).digest == b


def test_a_damaged_model_is_what_one_goes_back_from(tmp_path: Path) -> None:
    a, b, _ = published(tmp_path, 3)
    flip(tmp_path / FILE_NAME)
    assert restore(tmp_path).digest == b
    assert digests(tmp_path) == [a]
    (tmp_path / FILE_NAME).unlink()
    assert restore(tmp_path).digest == a


def test_files_that_are_no_versions_are_told_or_passed_over(tmp_path: Path) -> None:
    a, b, _ = published(tmp_path, 3)
    folder = tmp_path / FOLDER_NAME
    (folder / "notes.txt").write_text("not a version")
    os.mkfifo(folder / f"{1:064x}.safetensors")
    (folder / f"{2:064x}.safetensors").write_bytes(struct.pack("<Q", 2**63) + b"{}")
    (folder / f"{3:064x}.safetensors").write_bytes(b"short")
    (folder / f"{4:064x}.safetensors").write_bytes((folder / f"{a}.safetensors").read_bytes())
    (folder / f"{5:064x}.safetensors").symlink_to("/dev/zero")
    header = json.dumps({"__metadata__": {"digest": f"{6:064x}", "training": "[" * 100_000}}).encode()
    (folder / f"{6:064x}.safetensors").write_bytes(struct.pack("<Q", len(header)) + header)
    told = {version.digest: version.problem for version in versions(tmp_path)}
    assert {digest for digest, problem in told.items() if problem is None} == {a, b}
    assert {digest for digest, problem in told.items() if problem} == {f"{n:064x}" for n in range(1, 7)}
    assert "regular file" in str(told[f"{1:064x}"])
    assert "9,223,372,036,854,775,808 bytes" in str(told[f"{2:064x}"])
    with pytest.raises(CheckpointError, match="another model than its name says"):
        restore(tmp_path, f"{4:064x}")


def test_figures_come_from_the_record_and_only_finite_ones(tmp_path: Path) -> None:
    moment = "2026-01-02T03:04:05+00:00"
    publish(tmp_path, model(0, saved_at=moment, train_perplexity=1.5, validation_perplexity="inf"))
    publish(tmp_path, model(1, saved_at="yesterday", train_perplexity=True, validation_perplexity=2))
    (old,) = versions(tmp_path)
    assert (old.saved_at, old.train_perplexity, old.validation_perplexity) == (1767323045.0, 1.5, None)
    new = present(tmp_path)
    assert new is not None
    assert (new.train_perplexity, new.validation_perplexity) == (None, 2.0)
    assert new.saved_at == (tmp_path / FILE_NAME).stat().st_mtime


def test_a_file_system_without_links_keeps_copies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    a, b = published(tmp_path, 2)
    assert digests(tmp_path) == [a]
    assert restore(tmp_path).digest == a
    assert digests(tmp_path) == [b]


def test_a_disk_that_is_full_keeps_the_model_and_can_still_go_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    a, b = published(tmp_path, 2)

    def full(*_: object, **__: object) -> Any:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("model.files.secrets.token_hex", full)
    with pytest.raises(CheckpointError, match="No space left on device"):
        publish(tmp_path, model(9))
    assert (load(tmp_path).digest, digests(tmp_path)) == (b, [a])
    assert restore(tmp_path).digest == a


def test_a_folder_that_cannot_be_written_is_said_in_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _, b = published(tmp_path, 2)

    def refuse(*_: object, **__: object) -> Any:
        raise OSError(errno.EROFS, "Read-only file system")

    for step in ("link", "replace", "utime"):
        monkeypatch.setattr(os, step, refuse)
    monkeypatch.setattr("model.files.secrets.token_hex", refuse)
    with pytest.raises(CheckpointError, match="Read-only file system"):
        restore(tmp_path)
    with pytest.raises(CheckpointError, match="Read-only file system"):
        publish(tmp_path, model(9))
    assert load(tmp_path).digest == b


KILLED = """
import itertools, os, signal, sys
from pathlib import Path
from tests.model.test_versions import *

calls, last = 0, 0

def counted(real):
    def call(*a, **k):
        global calls
        calls += 1
        if calls == last:
            os.kill(os.getpid(), signal.SIGKILL)
        return real(*a, **k)
    return call

def change(folder):
    for name in ("link", "replace", "fsync", "utime", "unlink"):
        setattr(os, name, counted(getattr(os, name)))
    if sys.argv[2] == "publish":
        publish(folder, model(9))
    else:
        restore(folder)

for last in itertools.count(1):
    folder = Path(sys.argv[1], str(last))
    a, b = published(folder, 2)
    pid = os.fork()
    if pid == 0:
        change(folder)
        os._exit(0)
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    print(folder, a, b, status, flush=True)
    if status != -signal.SIGKILL:
        break
"""


@pytest.mark.parametrize("what", ["publish", "restore"])
def test_a_kill_at_any_moment_leaves_a_good_model_and_loses_none(tmp_path: Path, what: str) -> None:
    """The program walks over every call that changes the disk, up to a run that is not killed at all."""
    command = [sys.executable, "-W", "ignore", "-c", KILLED, str(tmp_path), what]
    result = subprocess.run(command, cwd=Path.cwd(), stdout=subprocess.PIPE, text=True, check=True)
    runs = [line.split() for line in result.stdout.splitlines()]
    assert [int(status) for *_, status in runs] == [-signal.SIGKILL] * (len(runs) - 1) + [0]
    assert len(runs) > 4
    for folder, a, b in ((Path(name), a, b) for name, a, b, _ in runs):
        now = load(folder).digest
        assert {now, *digests(folder)} >= {a, b}
        assert all(load(folder / FOLDER_NAME / f"{d}.safetensors").digest == d for d in digests(folder))
        publish(folder, model(10))  # and the next one goes on as if nothing had been
        assert digests(folder)[0] == now


def test_the_same_model_published_again_is_no_version_of_itself(tmp_path: Path) -> None:
    publish(tmp_path, model(0))
    publish(tmp_path, model(0))
    assert digests(tmp_path) == []


def test_a_model_that_was_only_saved_is_kept_as_well(tmp_path: Path) -> None:
    digest = save(tmp_path, model(0))
    publish(tmp_path, model(1))
    assert digests(tmp_path) == [digest]
