"""Lets MXNet load where the system lacks libgomp or libquadmath: from the copies that other wheels bring.

MXNet's wheel expects both from the system, and a Debian without a compiler has neither. Those copies bear names of
their own, by which MXNet does not find them; here they get the usual ones. Knows nothing of GPUs.
"""

from __future__ import annotations

import ctypes
import os
from importlib import metadata
from pathlib import Path

# The name that MXNet asks for: the wheel that brings the library, and where it lies among that wheel's files.
LIBRARIES = {
    "libgomp.so.1": ("pykdtree", "libgomp-"),
    "libquadmath.so.0": ("numpy", "libquadmath-"),
}


def prepare() -> None:
    """To be called before `import mxnet`. What is nowhere to be found is left to MXNet's own error."""
    for name, (wheel, beginning) in LIBRARIES.items():
        try:
            ctypes.CDLL(name)
        except OSError:
            copy = _copy(wheel, beginning)
            if copy is not None:
                load_as(name, copy)


def load_as(name: str, library: Path) -> None:
    """Makes a shared object this process's `name`, which must not be longer than the name it bears.

    The loader knows a library that is there already by the name inside it.
    """
    own = library.name.encode() + b"\0"
    renamed = library.read_bytes().replace(own, (name.encode() + b"\0").ljust(len(own), b"\0"))
    # In memory, as nothing of the wheel is changed. Left open: the loader tells files by their path too, and a closed
    # number is given out again.
    file = os.memfd_create(name)
    os.write(file, renamed)
    ctypes.CDLL(f"/proc/self/fd/{file}", mode=os.RTLD_GLOBAL)


def _copy(wheel: str, beginning: str) -> Path | None:
    try:
        files = metadata.files(wheel) or ()
    except metadata.PackageNotFoundError:
        return None
    return next((Path(str(file.locate())) for file in files if file.name.startswith(beginning)), None)
