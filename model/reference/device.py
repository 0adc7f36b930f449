"""Prepares and imports MXNet 1.9.1. Every other module takes `mx` from here.

MXNet still writes `numpy.bool`, which NumPy dropped in 1.24; the alias must be back before the import. It needs what
`bundled_libraries` prepares, and its GPU builds what `cuda_wheels` does. Importing this raises DeviceError where MXNet
is not installed or cannot be loaded.
"""

from __future__ import annotations

import functools
import importlib.util
import logging
import warnings
from typing import Any

import numpy as np

from model.errors import DeviceError
from model.processor import DEVICES
from model.reference import bundled_libraries, cuda_wheels

if importlib.util.find_spec("mxnet") is None:
    raise DeviceError(
        "MXNet is not installed: MXNet 1.9.1 exists for Linux on x86-64 and arm64, with Python 3.10, 3.11 and 3.12"
    )

if "bool" not in vars(np):
    np.bool = bool  # type: ignore[attr-defined]

with warnings.catch_warnings():
    # Its own code trips deprecation warnings of newer Pythons and of NumPy; they say nothing about ours.
    warnings.simplefilter("ignore")
    try:
        bundled_libraries.prepare()
        _NO_DRIVER = cuda_wheels.prepare()
        import mxnet
    except OSError as error:  # a library that is missing or damaged, named in the message
        raise DeviceError(
            f"MXNet cannot be loaded: {error}; it needs libgomp and libquadmath "
            "(Debian and Ubuntu: libgomp1, libgfortran5)"
        ) from error

mx: Any = mxnet  # MXNet has no types

Context = Any  # mx.Context
NDArray = Any  # mx.nd.NDArray

log = logging.getLogger(__name__)


@functools.cache
def gpu_problem() -> str | None:
    """Why `mx.gpu(0)` cannot be used, in one line, or None where it can.

    Counting devices is not enough: the wheels hold no machine code for Hopper and Blackwell cards, so one small
    product is really computed and read back.
    """
    if _NO_DRIVER is not None:
        return _NO_DRIVER
    try:
        if mx.context.num_gpus() == 0:
            return "MXNet sees no GPU"
        ones = mx.nd.ones((2, 2), ctx=mx.gpu(0))
        product = mx.nd.dot(ones, ones).asnumpy()
    except mx.base.MXNetError as error:
        return reason(error)
    if not np.array_equal(product, np.full((2, 2), 2.0)):
        return "a 2×2 product came back wrong"
    return None


def reason(error: Exception) -> str:
    """The line of an MXNet error that says what went wrong; it is the last, after the C++ stack."""
    return (str(error).strip().splitlines() or [""])[-1].strip() or "MXNet gave no reason"


def try_gpu() -> Context:
    """`mx.gpu(0)` if a small operator really runs there, else `mx.cpu()` and one log line that says why."""
    problem = gpu_problem()
    if problem is None:
        return mx.gpu(0)
    log.info("using the CPU: %s", problem)
    return mx.cpu()


def context(device: str) -> Context:
    """The MXNet context of "auto" (a GPU that works, else the CPU), "cpu" or "gpu".

    Raises DeviceError for "gpu" where none can be used.
    """
    if device == "cpu":
        return mx.cpu()
    if device == "auto":
        return try_gpu()
    if device != "gpu":
        raise DeviceError(f"device: {device!r} is not one of {', '.join(DEVICES)}")
    problem = gpu_problem()
    if problem is not None:
        raise DeviceError(f"device: gpu cannot be used here: {problem}")
    return mx.gpu(0)
