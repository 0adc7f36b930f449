"""Engines by name, and which one "auto" means. An engine's library is imported when that engine is opened."""

from __future__ import annotations

import logging
from collections.abc import Callable
from glob import glob

from model.checkpoint import Checkpoint
from model.engines.interface import Engine
from model.errors import DeviceError, OptionError

DEVICES = ("auto", "cpu", "gpu")

log = logging.getLogger(__name__)


def open_engine(
    checkpoint: Checkpoint, device: str = "auto", backend: str = "auto", threads: int | None = None, spin: bool = True
) -> Engine:
    """backend "auto": MXNet on a GPU it can really use, else ONNX Runtime on a GPU, else ONNX Runtime on the CPU.

    threads and spin are for ONNX Runtime on the CPU (see there). Raises DeviceError where what was asked for cannot be
    had, OptionError for names that are none.
    """
    if device not in DEVICES:
        raise OptionError("device", f"{device!r} is not one of {', '.join(DEVICES)}")
    if backend not in ("auto", *BACKENDS):
        raise OptionError("backend", f"{backend!r} is not one of auto, {', '.join(BACKENDS)}")
    if threads is not None and (type(threads) is not int or threads < 1):
        raise OptionError("threads", f"{threads!r} is not a whole number of at least 1")
    if backend != "auto":
        return BACKENDS[backend](checkpoint, device, threads, spin)
    if device != "cpu" and _gpu_present(device):
        try:
            return _mxnet(checkpoint, "gpu")
        except DeviceError as error:
            log.info("MXNet: %s", error)
    return _onnxruntime(checkpoint, device, threads, spin)


def _mxnet(checkpoint: Checkpoint, device: str, *_: object) -> Engine:
    from model.engines.mxnet import MXNetEngine

    return MXNetEngine(checkpoint.config, checkpoint.parameters, device)


def _onnxruntime(checkpoint: Checkpoint, device: str, threads: int | None, spin: bool) -> Engine:
    from model.engines.onnxruntime import OnnxRuntimeEngine, cuda_available

    if device == "auto" and _gpu_present(device) and cuda_available():
        try:
            return OnnxRuntimeEngine(checkpoint.config, checkpoint.parameters, "gpu", threads, spin)
        except DeviceError as error:
            log.info("ONNX Runtime: %s; using the CPU", error)
    return OnnxRuntimeEngine(
        checkpoint.config, checkpoint.parameters, "cpu" if device == "auto" else device, threads, spin
    )


def _gpu_present(device: str) -> bool:
    """Whether it is worth asking MXNet, whose import takes seconds. A GPU that was asked for by name always is."""
    return device == "gpu" or bool(glob("/dev/nvidia[0-9]*"))


BACKENDS: dict[str, Callable[[Checkpoint, str, int | None, bool], Engine]] = {
    "mxnet": _mxnet,
    "onnxruntime": _onnxruntime,
}
