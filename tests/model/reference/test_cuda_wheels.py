from __future__ import annotations

import ctypes
from importlib import metadata
from pathlib import Path

import pytest

from model.reference import cuda_wheels, driver_stub


class Machine:
    """What is installed on a machine that does not exist; `loaded` is what was asked of the loader, in order."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, packages: Path, *, gpu_build: bool, driver: bool) -> None:
        self.loaded: list[str] = []
        self.stubbed = False

        def version(name: str) -> str:
            if gpu_build and name == "mxnet-cu117":
                return "1.9.1"
            raise metadata.PackageNotFoundError(name)

        def load(name: str, mode: int = 0) -> None:
            del mode
            if name == driver_stub.SONAME and not driver:
                raise OSError(f"{name}: cannot open shared object file")
            self.loaded.append(name)

        def stub() -> None:
            self.stubbed = True

        monkeypatch.setattr(metadata, "version", version)
        monkeypatch.setattr(ctypes, "CDLL", load)
        monkeypatch.setattr(cuda_wheels, "_nvidia_packages", lambda: [packages])
        monkeypatch.setattr(driver_stub, "load", stub)


def test_a_build_without_cuda_needs_nothing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    machine = Machine(monkeypatch, tmp_path, gpu_build=False, driver=False)
    assert cuda_wheels.prepare() is None
    assert machine.loaded == []
    assert not machine.stubbed


def test_without_a_driver_the_stub_takes_its_place_and_the_reason_is_told(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    machine = Machine(monkeypatch, tmp_path, gpu_build=True, driver=False)
    assert cuda_wheels.prepare() == "no NVIDIA driver is installed (libcuda.so.1 was not found)"
    assert machine.stubbed


def test_with_a_driver_the_stub_is_left_alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    machine = Machine(monkeypatch, tmp_path, gpu_build=True, driver=True)
    assert cuda_wheels.prepare() is None
    assert not machine.stubbed


def test_cuda_is_loaded_from_the_wheels_that_are_there_each_library_before_those_that_need_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    there = ("cudnn/lib/libcudnn.so.8", "cublas/lib/libcublas.so.11", "cublas/lib/libcublasLt.so.11")
    for library in there:
        (tmp_path / library).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / library).touch()
    machine = Machine(monkeypatch, tmp_path, gpu_build=True, driver=True)
    cuda_wheels.prepare()
    assert [Path(name).name for name in machine.loaded] == [
        "libcublasLt.so.11",
        "libcublas.so.11",
        "libcudnn.so.8",
        "libcuda.so.1",
    ]
