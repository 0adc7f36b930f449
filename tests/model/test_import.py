"""What importing `model` does, whichever of its modules is imported first."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
# What ONNX Runtime's C code finds in the environment when it begins to be imported.
PROGRAM = """
import ctypes, importlib, sys
getenv = ctypes.CDLL(None).getenv
getenv.restype = ctypes.c_char_p

class Sees:
    def find_spec(self, name, path=None, target=None):
        if name == "onnxruntime":
            print(getenv(b"ORT_DISABLE_TELEMETRY"))

sys.meta_path.insert(0, Sees())
importlib.import_module(sys.argv[1])
"""


@pytest.mark.parametrize("module", ["model.engines.onnxruntime", "model.export.onnx"])
def test_onnx_runtime_is_told_to_send_nothing_before_it_is_imported(module: str) -> None:
    command = [sys.executable, "-c", PROGRAM, module]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["b'1'"]
