"""What this machine may have to compute with, told without importing what would use it."""

from __future__ import annotations

import functools
import os
from collections.abc import Mapping
from glob import glob

DEVICES = ("auto", "cpu", "gpu")


def available_cores() -> int:
    """The cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def has(feature: str) -> bool:
    """Whether the processor has an instruction set, by LLVM's name of it: "avx512f", "avx512bf16"."""
    return bool(_features().get(feature))


@functools.cache
def _features() -> Mapping[str, bool]:
    from llvmlite import binding  # a tenth of a second, which whoever asks for a GPU alone need not wait

    return dict(binding.get_host_cpu_features())


def gpu_present() -> bool:
    """Whether it is worth asking MXNet, whose import takes seconds: a device of NVIDIA's, or WSL's door to one."""
    return bool(glob("/dev/nvidia[0-9]*") or glob("/dev/dxg"))
