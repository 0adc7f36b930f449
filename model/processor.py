"""What this machine may have to compute with, told without importing what would use it."""

from __future__ import annotations

from glob import glob

DEVICES = ("auto", "cpu", "gpu")


def gpu_present() -> bool:
    """Whether it is worth asking MXNet, whose import takes seconds: a device of NVIDIA's, or WSL's door to one."""
    return bool(glob("/dev/nvidia[0-9]*") or glob("/dev/dxg"))
