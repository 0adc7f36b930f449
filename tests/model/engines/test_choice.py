"""Which engine opens where: a GPU is used when it really works, and what it lacks is said in one line."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from model import engines
from model.checkpoint import Checkpoint
from model.device import mx
from model.engines import onnxruntime as ort_engine
from model.engines import open_engine
from model.engines.interface import Engine
from model.engines.mxnet import MXNetEngine
from model.errors import DeviceError
from tests.model.tiny import tiny_checkpoint

NO_KERNEL = "no kernel image is available for execution on the device"
NO_MEMORY = "cudaMalloc failed: out of memory"


@pytest.fixture(autouse=True)
def nothing_said_yet() -> None:
    engines._say_once.cache_clear()


def with_a_card(monkeypatch: pytest.MonkeyPatch, **problems: str | None) -> None:
    """A machine whose card works for an engine unless a problem is named for it; opened engines are on the CPU."""
    opened = dict(engines.BACKENDS)

    def backend(name: str, problem: str | None) -> Any:
        def open_on(checkpoint: Checkpoint, device: str, *rest: Any) -> Engine:
            if device == "gpu" and problem is not None:
                raise DeviceError(f"device: gpu cannot be used here: {problem}")
            engine: Any = opened[name](checkpoint, "cpu", *rest)
            engine.device = device
            return engine

        return open_on

    for name, problem in problems.items():
        monkeypatch.setitem(engines.BACKENDS, name, backend(name, problem))
    monkeypatch.setattr(engines, "gpu_present", lambda: True)


@pytest.mark.parametrize(
    ("mxnet", "onnxruntime", "chosen"),
    [
        (None, None, ("mxnet", "gpu")),
        (NO_KERNEL, None, ("onnxruntime", "gpu")),
        (NO_KERNEL, NO_MEMORY, ("onnxruntime", "cpu")),
    ],
)
def test_auto_takes_the_first_engine_that_works_on_the_card_and_else_the_cpu(
    monkeypatch: pytest.MonkeyPatch, mxnet: str | None, onnxruntime: str | None, chosen: tuple[str, str]
) -> None:
    with_a_card(monkeypatch, mxnet=mxnet, onnxruntime=onnxruntime)
    engine = open_engine(tiny_checkpoint())
    assert (engine.name, engine.device) == chosen


def test_why_the_cpu_is_used_is_one_line_however_many_models_there_are(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with_a_card(monkeypatch, mxnet=NO_KERNEL, onnxruntime=NO_MEMORY)
    with caplog.at_level(logging.INFO):
        for _ in range(3):
            open_engine(tiny_checkpoint())
    assert caplog.messages == [f"using the CPU: mxnet: {NO_KERNEL}; onnxruntime: {NO_MEMORY}"]


def test_a_machine_without_a_card_is_told_too_and_mxnet_is_not_asked(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with_a_card(monkeypatch, mxnet=None)
    monkeypatch.setattr(engines, "gpu_present", lambda: False)
    with caplog.at_level(logging.INFO):
        engine = open_engine(tiny_checkpoint())
    assert (engine.name, engine.device) == ("onnxruntime", "cpu")
    assert caplog.messages == ["using the CPU: no GPU is visible"]


def test_an_engine_asked_for_by_name_stays_itself_on_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    with_a_card(monkeypatch, mxnet=NO_MEMORY)
    engine = open_engine(tiny_checkpoint(), backend="mxnet")
    assert (engine.name, engine.device) == ("mxnet", "cpu")


def test_a_gpu_asked_for_by_name_is_refused_with_the_reason_of_every_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    with_a_card(monkeypatch, mxnet=NO_KERNEL, onnxruntime=NO_MEMORY)
    with pytest.raises(DeviceError) as refused:
        open_engine(tiny_checkpoint(), "gpu")
    assert str(refused.value) == f"device: gpu cannot be used here: mxnet: {NO_KERNEL}; onnxruntime: {NO_MEMORY}"


def test_a_cpu_asked_for_by_name_asks_no_card_and_says_nothing(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with_a_card(monkeypatch, mxnet=None, onnxruntime=None)
    with caplog.at_level(logging.INFO):
        engine = open_engine(tiny_checkpoint(), "cpu")
    assert (engine.name, engine.device) == ("onnxruntime", "cpu")
    assert caplog.messages == []


@pytest.mark.parametrize("stage", ["_build", "step"])
def test_mxnet_on_a_card_that_fails_later_than_the_first_product_is_refused_not_a_crash(
    monkeypatch: pytest.MonkeyPatch, stage: str
) -> None:
    def fail(*_: object) -> None:
        raise mx.base.MXNetError(f"Traceback:\n  Check failed: {NO_MEMORY}")

    class OneCard:
        device_type = "gpu"

    monkeypatch.setattr("model.engines.mxnet.context", lambda _: OneCard())
    monkeypatch.setattr(MXNetEngine, "_build", lambda *_: (None, []))
    monkeypatch.setattr(MXNetEngine, stage, fail)
    with pytest.raises(DeviceError, match=f"gpu cannot be used here: mxnet: Check failed: {NO_MEMORY}"):
        open_engine(tiny_checkpoint(), "gpu", "mxnet")


@pytest.mark.parametrize("stage", ["session", "step"])
def test_onnxruntime_on_a_card_that_fails_is_refused_not_a_crash(monkeypatch: pytest.MonkeyPatch, stage: str) -> None:
    class Session:
        def __init__(self, *_: object, **__: object) -> None:
            if stage == "session":
                raise RuntimeError(f"\n[ONNXRuntimeError] {NO_MEMORY}\nmore")

        def get_providers(self) -> list[str]:
            return [ort_engine.CUDA, ort_engine.CPU]

        def run(self, *_: object) -> None:
            raise RuntimeError(f"[ONNXRuntimeError] {NO_MEMORY}")

    monkeypatch.setattr(ort_engine, "_prepare_cuda", lambda: None)
    monkeypatch.setattr(ort_engine.ort, "InferenceSession", Session)
    with pytest.raises(DeviceError, match=rf"gpu cannot be used here: onnxruntime: \[ONNXRuntimeError\] {NO_MEMORY}$"):
        open_engine(tiny_checkpoint(), "gpu", "onnxruntime")


def test_onnxruntime_that_falls_back_by_itself_is_not_taken_for_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    start = ort_engine.ort.InferenceSession
    monkeypatch.setattr(ort_engine, "_prepare_cuda", lambda: None)
    monkeypatch.setattr(ort_engine.ort, "InferenceSession", lambda *args, **_: start(*args, providers=[ort_engine.CPU]))
    with pytest.raises(DeviceError, match="could not start its CUDA provider"):
        open_engine(tiny_checkpoint(), "gpu", "onnxruntime")
