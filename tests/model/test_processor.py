from __future__ import annotations

import os
import platform
from pathlib import Path

import pytest

from model import processor


@pytest.mark.parametrize("pattern", ["/dev/nvidia[0-9]*", "/dev/dxg", None])
def test_a_card_is_looked_for_where_drivers_put_one(pattern: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processor, "glob", lambda given: ["there"] if given == pattern else [])
    assert processor.gpu_present() == (pattern is not None)


def test_cores_are_those_the_process_may_use(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {2, 3, 5} if pid == 0 else set(), raising=False)
    assert processor.available_cores() == 3
    monkeypatch.delattr(os, "sched_getaffinity")
    for count, cores in ((6, 6), (None, 1)):
        monkeypatch.setattr(os, "cpu_count", lambda count=count: count)
        assert processor.available_cores() == cores


@pytest.mark.skipif(platform.machine() != "x86_64", reason="the names are those of this architecture")
def test_instruction_sets_are_those_the_kernel_lists() -> None:
    listed = Path("/proc/cpuinfo").read_text().partition("flags")[2].partition("\n")[0].split()
    for ours, kernels in (("avx2", "avx2"), ("avx512f", "avx512f"), ("avx512bf16", "avx512_bf16"), ("fma", "fma")):
        assert processor.has(ours) == (kernels in listed), ours
    assert not processor.has("there is none of that name")
