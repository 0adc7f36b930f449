"""Somebody else than root, for tests of what a process may not write."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parent.parent
NOBODY = "65534"
# Capabilities that let it read what root alone may, as a Python in root's home: it may still not write there.
READS_ALL = ("--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search")


@cache
def stranger(folder: Path) -> tuple[str, ...] | None:
    """What a command begins with to run as somebody who may read `folder` and write nothing of what this user may.

    Nothing, where this user is no root, whom modes of files bind; None where root cannot become such a one.
    """
    if os.geteuid() != 0:
        return ()
    setpriv = shutil.which("setpriv")
    for more in ((), READS_ALL) if setpriv is not None else ():
        begin = (str(setpriv), f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", *more)
        command = [*begin, sys.executable, "-c", "import os, sys, model.errors; os.listdir(sys.argv[1])", str(folder)]
        asked = subprocess.run(command, cwd=ROOT, capture_output=True)
        if asked.returncode == 0:
            return begin
    return None
