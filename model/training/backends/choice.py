"""Backends by name, and which one "auto" means."""

from __future__ import annotations

import logging

from model.config import ModelConfig
from model.errors import DeviceError, OptionError
from model.processor import gpu_present
from model.training.backend import Backend
from model.training.options import SETTINGS

log = logging.getLogger(__name__)


def open_backend(name: str, device: str, config: ModelConfig, precision: str = "float32") -> Backend:
    """The backend called `name`; "auto" takes MXNet's on a GPU that works, else that for the CPU.

    Raises OptionError for names that are none and for what a backend cannot do, DeviceError where there is no GPU.
    """
    for field, value in (("backend", name), ("device", device), ("precision", precision)):
        SETTINGS[field].check(field, value)
    # Each is imported where it is wanted: MXNet takes seconds.
    if name == "cpu" and device == "gpu":
        raise OptionError("backend", "'cpu' computes on the CPU only; choose mxnet for a GPU")
    if name == "mxnet" or (name == "auto" and _gpu_is_used(device)):
        if precision == "bfloat16":
            raise OptionError("precision", "'bfloat16' is of the cpu backend; the mxnet backend computes in float32")
        from model.reference.device import context
        from model.training.backends.mxnet import MXNetBackend

        return MXNetBackend(config, context(device))
    from model.kernels import bfloat16
    from model.training.backends.cpu.backend import CpuBackend

    if precision == "bfloat16" and not bfloat16.available():
        raise OptionError(
            "precision", "this processor does not multiply bfloat16 (AVX512_BF16); choose auto or float32"
        )
    if precision == "auto":
        precision = "bfloat16" if bfloat16.available() else "float32"
    return CpuBackend(config, precision=precision)


def _gpu_is_used(device: str) -> bool:
    """MXNet, whose import takes seconds, is asked only where there may be a GPU."""
    if device == "cpu" or (device == "auto" and not gpu_present()):
        return False
    try:
        from model.reference.device import context
    except DeviceError as error:
        if device == "gpu":
            raise DeviceError(f"device: gpu cannot be used here: {error}") from error
        log.info("using the CPU: %s", error)
        return False
    return bool(context(device).device_type == "gpu")
