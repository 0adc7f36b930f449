"""Lets the GPU builds of MXNet load: CUDA 11 from the `nvidia-*-cu11` wheels, and no driver where there is none.

Those builds expect CUDA's libraries where the loader looks, and the wheels put them beside Python's packages, where it
does not look. Whether a GPU can be used is not decided here: `device.gpu_problem` tries.
"""

from __future__ import annotations

import ctypes
import os
from importlib import metadata, util
from pathlib import Path

from model.reference import driver_stub

GPU_BUILDS = ("mxnet-cu117", "mxnet-cu112")
# Each before those that need it.
LIBRARIES = (
    "cuda_runtime/lib/libcudart.so.11.0",
    "cuda_nvrtc/lib/libnvrtc.so.11.2",
    "nvtx/lib/libnvToolsExt.so.1",
    "cublas/lib/libcublasLt.so.11",
    "cublas/lib/libcublas.so.11",
    "cufft/lib/libcufft.so.10",
    "curand/lib/libcurand.so.10",
    "cusparse/lib/libcusparse.so.11",
    "cusolver/lib/libcusolver.so.11",
    "cudnn/lib/libcudnn.so.8",
    "nccl/lib/libnccl.so.2",
)


def prepare() -> str | None:
    """To be called before `import mxnet`. Why no GPU can be used, in one line, where that is known already."""
    if not any(_installed(name) for name in GPU_BUILDS):
        return None
    for library in LIBRARIES:
        for directory in _nvidia_packages():
            if (directory / library).is_file():
                ctypes.CDLL(str(directory / library), mode=os.RTLD_GLOBAL)
    try:
        ctypes.CDLL(driver_stub.SONAME)
    except OSError:
        driver_stub.load()
        return f"no NVIDIA driver is installed ({driver_stub.SONAME} was not found)"
    return None


def _installed(name: str) -> bool:
    try:
        metadata.version(name)
    except metadata.PackageNotFoundError:
        return False
    return True


def _nvidia_packages() -> list[Path]:
    spec = util.find_spec("nvidia")  # a namespace: it may lie in several places
    return [Path(path) for path in (spec.submodule_search_locations or ())] if spec is not None else []
