"""Engines by name, and which one "auto" means. An engine's library is imported when that engine is opened."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import cache

import numpy as np

from model.checkpoint import Checkpoint
from model.config import ModelConfig
from model.decoding.engine import Engine
from model.errors import DeviceError, OptionError
from model.processor import DEVICES, gpu_present
from model.text.rules import TextRules
from model.text.vocabulary import Vocabulary

CANNOT = "device: gpu cannot be used here: "
log = logging.getLogger(__name__)


def open_engine(
    checkpoint: Checkpoint, device: str = "auto", engine: str = "auto", threads: int | None = None, spin: bool = True
) -> Engine:
    """engine "auto": MXNet on a GPU it can really use, else ONNX Runtime on a GPU, else ONNX Runtime on the CPU.

    Each engine computes a step on the GPU before it counts as working: a driver that is missing or too old, a card
    whose code is not in the library, one without free memory. The reasons for the CPU are one line in the log.
    threads and spin are for ONNX Runtime on the CPU (see there). Raises DeviceError where what was asked for cannot be
    had, OptionError for names that are none.
    """
    if device not in DEVICES:
        raise OptionError("device", f"{device!r} is not one of {', '.join(DEVICES)}")
    if engine not in ("auto", *ENGINES):
        raise OptionError("engine", f"{engine!r} is not one of auto, {', '.join(ENGINES)}")
    if threads is not None and (type(threads) is not int or threads < 1):
        raise OptionError("threads", f"{threads!r} is not a whole number of at least 1")
    names = tuple(ENGINES) if engine == "auto" else (engine,)
    on_cpu = ENGINES["onnxruntime" if engine == "auto" else engine]
    reasons = []
    if device == "auto" and not gpu_present():
        reasons.append("no GPU is visible")
    elif device != "cpu":
        for name in names:
            try:
                return ENGINES[name](checkpoint, "gpu", threads, spin)
            except DeviceError as error:
                reasons.append(f"{name}: {str(error).removeprefix(CANNOT)}")
    if device == "gpu":
        raise DeviceError(CANNOT + "; ".join(reasons))
    if reasons:
        _say_once("using the CPU: " + "; ".join(reasons))
    return on_cpu(checkpoint, "cpu", threads, spin)


def check(device: str, engine: str) -> None:
    """Opens an engine for the smallest of models: whether what is asked for can be had is known before there is one.

    Raises DeviceError where it cannot.
    """
    config = ModelConfig("rnn", num_layers=1, hidden_dim=1, vocab_size=1)
    zeros = {name: np.zeros(shape, np.float32) for name, shape in config.parameter_shapes().items()}
    open_engine(Checkpoint(config, TextRules(), Vocabulary("a"), zeros), device, engine, threads=1, spin=False)


@cache
def _say_once(line: str) -> None:
    """What holds for the machine is not said again for every model."""
    log.info("%s", line)


def _mxnet(checkpoint: Checkpoint, device: str, *_: object) -> Engine:
    from model.engines.mxnet import MXNetEngine

    return MXNetEngine(checkpoint.config, checkpoint.parameters, device)


def _onnxruntime(checkpoint: Checkpoint, device: str, threads: int | None, spin: bool) -> Engine:
    from model.engines.onnxruntime import OnnxRuntimeEngine

    return OnnxRuntimeEngine(checkpoint.config, checkpoint.parameters, device, threads, spin)


# In the order in which "auto" tries them on a GPU.
ENGINES: dict[str, Callable[[Checkpoint, str, int | None, bool], Engine]] = {
    "mxnet": _mxnet,
    "onnxruntime": _onnxruntime,
}
