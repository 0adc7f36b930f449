from __future__ import annotations

import platform
import subprocess
import sys
from pathlib import Path

import pytest

from model.reference import driver_stub

pytestmark = pytest.mark.skipif(
    (sys.platform, platform.machine()) != ("linux", "x86_64"),
    reason="the GPU builds of MXNet exist for x86-64 Linux only, and so does the stub",
)
ROOT = Path(__file__).parent.parent.parent.parent


def run(program: str) -> str:
    """In a process of its own: what is loaded stays loaded."""
    return subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.strip()


def test_every_function_of_the_stub_says_that_there_is_no_device() -> None:
    program = """
import ctypes
from model.reference import driver_stub
driver_stub.load()
library = ctypes.CDLL(driver_stub.SONAME)  # found by its name, though no file of that name is anywhere
print({getattr(library, name)() for name in driver_stub.FUNCTIONS})
"""
    assert run(program) == str({driver_stub.NO_DEVICE})


def test_a_name_that_the_stub_does_not_hold_is_not_found_in_it() -> None:
    program = """
import ctypes
from model.reference import driver_stub
driver_stub.load()
print(hasattr(ctypes.CDLL(driver_stub.SONAME), "cuInit"))
"""
    assert run(program) == "False"


@pytest.mark.parametrize("count", [1, 2, 7, 100])
def test_stubs_of_any_number_of_functions_load(count: int) -> None:
    program = f"""
import ctypes, os
from model.reference import driver_stub
names = tuple(f"function_{{i}}" for i in range({count}))
file = os.memfd_create("other")
os.write(file, driver_stub.shared_object("libother.so.3", names))
ctypes.CDLL(f"/proc/self/fd/{{file}}", os.RTLD_GLOBAL | os.RTLD_NOW)
print({{getattr(ctypes.CDLL("libother.so.3"), name)() for name in names}} == {{100}})
"""
    assert run(program) == "True"


def test_loading_leaves_no_file_behind(tmp_path: Path) -> None:
    program = f"""
import os, tempfile
tempfile.tempdir = {str(tmp_path)!r}
from model.reference import driver_stub
before = len(os.listdir("/proc/self/fd"))
driver_stub.load()
print(os.listdir({str(tmp_path)!r}), len(os.listdir("/proc/self/fd")) - before)
"""
    assert run(program) == "[] 0"
