"""What is in the models directory: the model files, what cannot be looked at, and the name of the default model.

Only what is surely not there counts as gone; too many open files or a mount that fails say nothing of that. Looking
again and again, instead of waiting to be told of changes, sees what lies behind symbolic links and network mounts as
well. Knows nothing of models but where their files lie.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path

from app.serving.off_loop import NoAnswer, off_loop
from model.checkpoint import FILE_NAME
from model.files import write_atomically

DEFAULT_FILE = ".default"
PATIENCE_S = 5.0  # for one look
HANGS = "its folder does not answer"

Signature = tuple[int, ...]


@dataclass
class Found:
    """files: by the folder's name, what differs when the file was replaced or changed. unclear: folders of which it is
    not known whether they hold a model, and why. default: the name that was remembered here."""

    files: dict[str, Signature] = field(default_factory=dict)
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
            return found
        found.default = _read_default(self._path / DEFAULT_FILE)
        for name in names:
            if name.startswith("."):  # hidden on purpose
                continue
            if name in self._left_out:
                found.unclear[name] = HANGS
                continue
            self.at = name
            try:
                s = os.stat(self._path / name / FILE_NAME)
            except (FileNotFoundError, NotADirectoryError):
                continue
            except OSError as error:
                found.unclear[name] = f"its folder cannot be looked at ({error.strerror})"
            else:
                # The last one: a file whose rights were mended, or that was changed in place with its time put back.
                found.files[name] = (s.st_dev, s.st_ino, s.st_size, s.st_mtime_ns, s.st_ctime_ns)
        return found


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
