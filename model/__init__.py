"""Trains and runs character-level recurrent language models. `load` is the way in.

Importing this imports neither MXNet nor ONNX Runtime; an engine is imported when a model is loaded that needs it.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from model.language_model import LanguageModel

__all__ = ["load"]

# Else ONNX Runtime sends its makers what models it opens, and writes a number of this machine and a database under the
# user's home. Only its own C code reads this variable, so `putenv` is enough. No module of `model` is imported before.
os.putenv("ORT_DISABLE_TELEMETRY", "1")


def load(
    path: str | Path,
    device: str = "auto",
    engine: str = "auto",
    threads: int | None = None,
    spin: bool = True,
    backend: str | None = None,
) -> LanguageModel:
    """The model in a checkpoint file or the folder that holds it, ready to write.

    - device: auto, cpu or gpu.
    - engine: auto, mxnet or onnxruntime; backend is its old name.
    - threads: for the CPU; all cores unless given.
    - spin: whether threads with nothing to do keep their core for a moment; a program with other work wants them not
      to.

    Raises CheckpointError for a file that does not verify, DeviceError for a device or an engine that cannot be used.
    """
    from model import checkpoint
    from model.engines.choice import open_engine
    from model.language_model import LanguageModel

    loaded = checkpoint.load(path)
    return LanguageModel(loaded, open_engine(loaded, device, engine if backend is None else backend, threads, spin))
