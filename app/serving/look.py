"""What is in the models directory: the model files, what cannot be looked at, and the name of the default model.

Only what is surely not there counts as gone; too many open files, a mount that fails or a link that leads to nothing
say nothing of that. Looking again and again, instead of waiting to be told of changes, sees what lies behind symbolic
links and mounts as well. Knows nothing of models but where their files lie and where a file states its digest.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from app.serving.off_loop import NoAnswer, off_loop
from model.checkpoint import FILE_NAME
from model.files import START_BYTES, stated_digest, write_atomically
from model.versions import FOLDER_NAME

DEFAULT_FILE = ".default"
PATIENCE_S = 5.0  # for one look
HANGS = "its folder does not answer"

Signature = tuple[int, ...]


class File(NamedTuple):
    """Differs when the file was replaced or changed. digest: as the file states it, "" where it states none."""

    signature: Signature
    digest: str


@dataclass
class Found:
    """files: by the folder's name. versions: the same, where there is a folder of versions; differs when one came or
    went. unclear: folders of which it is not known whether they hold a model, and why. default: the name that was
    remembered here."""

    files: dict[str, File] = field(default_factory=dict)
    versions: dict[str, Signature] = field(default_factory=dict)
    unclear: dict[str, str] = field(default_factory=dict)
    default: str | None = None


class Directory:
    """Looks at one directory, which may not be there yet, or be another one next time."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._hanging: list[_Look] = []

    async def look(self) -> Found | None:
        """What is there now; None where a folder hangs, which later looks leave out until it answers.

        Raises OSError where the directory itself cannot be listed.
        """
        self._hanging = [look for look in self._hanging if not look.over]
        if any(look.at is None for look in self._hanging):
            raise OSError(None, "it does not answer")
        look = _Look(self._path, {look.at for look in self._hanging if look.at is not None})
        try:
            return await off_loop(look.run, PATIENCE_S)
        except NoAnswer:
            self._hanging.append(look)
            return None

    async def remember(self, name: str) -> None:
        """Keeps the name of the default model for the next process. Raises CheckpointError where it cannot, and
        NoAnswer."""
        path = self._path / DEFAULT_FILE
        await off_loop(lambda: write_atomically(path, f"{name}\n".encode()), PATIENCE_S)


class _Look:
    """One look, in a thread. `at`: the folder it is at, None while it lists the directory."""

    def __init__(self, path: Path, left_out: Collection[str]) -> None:
        self.at: str | None = None
        self.over = False
        self._path = path
        self._left_out = left_out

    def run(self) -> Found:
        try:
            return self._run()
        finally:
            self.over = True

    def _run(self) -> Found:
        found = Found()
        try:
            names = sorted(os.listdir(self._path))
        except (FileNotFoundError, NotADirectoryError):
            if any(map(_leads_to_nothing, (self._path, *self._path.parents))):
                raise OSError(errno.ENOENT, "a link on the way to it leads to nothing") from None
            return found
        found.default = _read_default(self._path / DEFAULT_FILE)
        for name in names:
            if name.startswith("."):  # hidden on purpose
                continue
            if name in self._left_out:
                found.unclear[name] = HANGS
                continue
            self.at = name
            self._look_at(name, found)
        return found

    def _look_at(self, name: str, found: Found) -> None:
        folder = self._path / name
        try:
            found.files[name] = _file(folder / FILE_NAME)
        except (FileNotFoundError, NotADirectoryError):
            for what, path in (("file", folder / FILE_NAME), ("folder", folder)):
                if _leads_to_nothing(path):
                    found.unclear[name] = f"its {what} is a link that leads to nothing"
            return
        except OSError as error:
            found.unclear[name] = f"its folder cannot be looked at ({error.strerror})"
            return
        with contextlib.suppress(OSError):
            s = os.stat(folder / FOLDER_NAME)
            found.versions[name] = (s.st_dev, s.st_ino, s.st_mtime_ns)


def _file(path: Path) -> File:
    """The file is opened because a network mount may answer `stat` from memory, for a minute, and an open never; its
    digest is read because two images mounted one after the other can agree in all else."""
    s = os.stat(path)
    start = b""
    if stat.S_ISREG(s.st_mode):  # to open a pipe or a device may do harm
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            s = os.fstat(descriptor)
            start = os.read(descriptor, START_BYTES)
        finally:
            os.close(descriptor)
    # The last one: a file whose rights were mended, or that was changed in place with its time put back.
    return File((s.st_dev, s.st_ino, s.st_size, s.st_mtime_ns, s.st_ctime_ns), stated_digest(start))


def _leads_to_nothing(path: Path) -> bool:
    return os.path.islink(path) and not os.path.exists(path)


def _read_default(path: Path) -> str | None:
    """The name in the file, whatever it may be; None where there is none."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)  # a pipe must not be waited for
    except OSError:
        return None
    try:
        data = os.read(descriptor, 100) if stat.S_ISREG(os.fstat(descriptor).st_mode) else b""
    except OSError:
        return None
    finally:
        os.close(descriptor)
    return data.decode("utf-8", "replace").strip() or None
