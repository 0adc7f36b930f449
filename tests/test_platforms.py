"""On which platforms MXNet is a dependency, and what the commands say on others."""

from __future__ import annotations

import itertools
import platform
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import typer
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from typer.testing import CliRunner

from model import checkpoint as checkpoints
from model.config import ModelConfig
from model.engines.choice import open_engine
from model.errors import DeviceError
from model.export.mxnet import read_arrays, to_mxnet
from model.export.onnx import TOLERANCE, write_onnx
from model.training.backends import choice
from nextchar import export, generate, train
from tests.models import random_checkpoint
from tests.reference import MXNET_EXISTS, predict_rnn

if sys.version_info >= (3, 11):
    import tomllib
else:
    tomllib = pytest.importorskip("tomli")

ROOT = Path(__file__).parent.parent
PLATFORMS = list(
    itertools.product(
        ("linux", "darwin", "win32"),
        ("x86_64", "aarch64", "arm64", "AMD64", "riscv64"),
        ("3.10", "3.11", "3.12", "3.13", "3.14"),
    )
)
LOCKS = ("runtime", "dev", "mutation", "cuda")
NOT_INSTALLED = (
    "MXNet is not installed: MXNet 1.9.1 exists for Linux on x86-64 and arm64, with Python 3.10, 3.11 and 3.12"
)


def has_mxnet(system: str, machine: str, python: str) -> bool:
    """Of the wheels of MXNet 1.9.1 on PyPI, those that work with a NumPy it knows: tests/reference.py says the same."""
    return system == "linux" and machine in ("x86_64", "aarch64") and python in ("3.10", "3.11", "3.12")


# Each line is asked for every platform.
read = cache(Requirement)


def chosen(lines: list[str], system: str, machine: str, python: str) -> dict[str, list[Requirement]]:
    """The requirements that hold on a platform, by the name of the package."""
    environment = {
        "sys_platform": system, "platform_machine": machine, "python_version": python,
        "python_full_version": f"{python}.1", "platform_python_implementation": "CPython", "extra": "",
    }  # fmt: skip
    found: dict[str, list[Requirement]] = {}
    for line in lines:
        requirement = read(line)
        if requirement.marker is None or requirement.marker.evaluate(environment):
            found.setdefault(canonicalize_name(requirement.name), []).append(requirement)
    return found


def test_this_platform_is_judged_as_the_dependencies_are() -> None:
    here = sys.platform, platform.machine(), f"3.{sys.version_info.minor}"
    assert has_mxnet(*here) is MXNET_EXISTS
    judge = "model.reference.prediction" if MXNET_EXISTS else "tests.book"
    assert predict_rnn.__module__ == judge


@pytest.mark.parametrize(("system", "machine", "python"), PLATFORMS)
def test_mxnet_and_its_numpy_are_dependencies_where_mxnet_exists(system: str, machine: str, python: str) -> None:
    lines = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["dependencies"]
    found = chosen(lines, system, machine, python)
    exists = has_mxnet(system, machine, python)
    assert ("mxnet" in found, "pykdtree" in found) == (exists, exists)
    (numpy,) = found["numpy"]
    assert (numpy.specifier.contains("1.26.4"), numpy.specifier.contains("2.1.0")) == (exists, not exists)


@pytest.mark.parametrize("lock", LOCKS)
def test_a_lock_holds_each_package_once_for_every_platform(lock: str) -> None:
    text = (ROOT / "requirements" / f"{lock}.txt").read_text("utf-8")
    lines = [line.removesuffix("\\").strip() for line in text.splitlines() if line[:1].isalnum()]
    for system, machine, python in PLATFORMS:
        found = chosen(lines, system, machine, python)
        twice = {name for name, requirements in found.items() if len(requirements) != 1}
        assert not twice, (system, machine, python)
        exists = has_mxnet(system, machine, python)
        assert ("mxnet" in found) is exists
        assert found["numpy"][0].specifier.contains("1.26.4") is exists


@pytest.fixture
def no_mxnet(monkeypatch: pytest.MonkeyPatch) -> None:
    """A platform without MXNet: what was loaded of it, and all that stands on it, is not there."""
    monkeypatch.setitem(sys.modules, "mxnet", None)
    for name in [
        name for name in sys.modules if name.startswith("model.reference.") or name.endswith((".mxnet", "._mxnet"))
    ]:
        if name.startswith("model.") and name != "model.export.mxnet":
            monkeypatch.delitem(sys.modules, name)


@pytest.mark.usefixtures("no_mxnet")
def test_what_needs_mxnet_says_which_platforms_it_exists_for(tmp_path: Path) -> None:
    checkpoint = random_checkpoint()
    with pytest.raises(DeviceError, match=rf"^{NOT_INSTALLED}$"):
        open_engine(checkpoint, "cpu", "mxnet")
    with pytest.raises(DeviceError, match=f"^device: gpu cannot be used here: mxnet: {NOT_INSTALLED}; onnxruntime: "):
        open_engine(checkpoint, "gpu")
    with pytest.raises(DeviceError, match=rf"^{NOT_INSTALLED}$"):
        choice.open_backend("mxnet", "cpu", checkpoint.config)
    with pytest.raises(DeviceError, match=f"^device: gpu cannot be used here: {NOT_INSTALLED}$"):
        choice.open_backend("auto", "gpu", checkpoint.config)
    with pytest.raises(DeviceError, match=rf"^{NOT_INSTALLED}$"):
        to_mxnet(checkpoint, tmp_path / "params")
    with pytest.raises(DeviceError, match=rf"^{NOT_INSTALLED}$"):
        read_arrays(tmp_path / "params")
    assert not list(tmp_path.iterdir())


@pytest.mark.usefixtures("no_mxnet")
@pytest.mark.parametrize(
    ("command", "arguments"),
    [
        (train.train, ["--out", "FOLDER/new", "--backend", "mxnet"]),
        (train.train, ["--out", "FOLDER/new", "--device", "gpu"]),
        (generate.generate, ["FOLDER/tiny", "a", "--engine", "mxnet"]),
        (generate.generate, ["FOLDER/tiny", "a", "--device", "gpu"]),
        (export.main, ["FOLDER/tiny", "--to-mxnet", "FOLDER/params"]),
        (export.main, ["FOLDER/new", "--from-mxnet", "FOLDER/params"]),
    ],
    ids=lambda value: " ".join(value[-2:-1] or value[:1]) if isinstance(value, list) else value.__module__,
)
def test_a_command_that_needs_mxnet_ends_with_one_sentence(
    command: Callable[..., None], arguments: list[str], saved: Path, tmp_path: Path
) -> None:
    (tmp_path / "params.vocabulary.json").write_text('["a", "b"]', "utf-8")
    app = typer.Typer()
    app.command()(command)
    result = CliRunner().invoke(app, [argument.replace("FOLDER", str(saved.parent)) for argument in arguments])
    assert result.exit_code != 0
    assert isinstance(result.exception, SystemExit), result.exception
    assert NOT_INSTALLED in " ".join(result.output.split())
    assert not (tmp_path / "new" / checkpoints.FILE_NAME).exists()


@pytest.mark.usefixtures("no_mxnet")
def test_a_gpu_that_nothing_can_train_on_is_passed_over_where_none_is_asked_for(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(choice, "gpu_present", lambda: True)
    with caplog.at_level("INFO"):
        assert choice.open_backend("auto", "auto", ModelConfig("rnn", 1, 4, 5)).name == "cpu"
    assert caplog.messages == [f"using the CPU: {NOT_INSTALLED}"]


@pytest.mark.usefixtures("no_mxnet")
def test_an_onnx_model_is_checked_by_the_backend_for_cpus(tmp_path: Path) -> None:
    checkpoint = random_checkpoint("gru", 2)
    assert 0 < write_onnx(checkpoint, tmp_path / "m.onnx") < TOLERANCE
    assert np.isfinite(checkpoint.parameters["W_hy"]).all()
