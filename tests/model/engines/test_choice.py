"""Which engine opens where: a GPU is used when it really works, and what it lacks is said in one line."""

from __future__ import annotations

import ctypes
import logging
from typing import Any

import onnxruntime as ort
import pytest

from model.checkpoint import Checkpoint
from model.decoding.engine import Engine
from model.engines import choice as engines
from model.engines import onnxruntime as ort_engine
from model.engines.choice import check, open_engine
from model.errors import DeviceError
from tests.models import tiny_checkpoint
from tests.reference import MXNetEngine, mx, needs_mxnet

NO_KERNEL = "no kernel image is available for execution on the device"
NO_MEMORY = "cudaMalloc failed: out of memory"


@pytest.fixture(autouse=True)
def nothing_said_yet() -> None:
    engines._say_once.cache_clear()


def with_a_card(monkeypatch: pytest.MonkeyPatch, **problems: str | None) -> None:
    """A machine whose card works for an engine unless a problem is named for it; opened engines are on the CPU."""
    opened = dict(engines.ENGINES)

    def fake(name: str, problem: str | None) -> Any:
        def open_on(checkpoint: Checkpoint, device: str, *rest: Any) -> Engine:
            if device == "gpu" and problem is not None:
                raise DeviceError(f"device: gpu cannot be used here: {problem}")
            engine = opened[name](checkpoint, "cpu", *rest)
            engine.device = device
            return engine

        return open_on

    for name, problem in problems.items():
        monkeypatch.setitem(engines.ENGINES, name, fake(name, problem))
    monkeypatch.setattr(engines, "gpu_present", lambda: True)


@pytest.mark.parametrize(
    ("mxnet", "onnxruntime", "chosen"),
    [
        pytest.param(None, None, ("mxnet", "gpu"), marks=needs_mxnet),
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


@needs_mxnet
def test_an_engine_asked_for_by_name_stays_itself_on_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    with_a_card(monkeypatch, mxnet=NO_MEMORY)
    engine = open_engine(tiny_checkpoint(), engine="mxnet")
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


def test_whether_a_card_can_be_had_is_told_without_a_model(monkeypatch: pytest.MonkeyPatch) -> None:
    with_a_card(monkeypatch, mxnet=NO_KERNEL, onnxruntime=None)
    check("gpu", "auto")
    check("gpu", "onnxruntime")
    with pytest.raises(DeviceError, match=f"^device: gpu cannot be used here: mxnet: {NO_KERNEL}$"):
        check("gpu", "mxnet")


def test_the_smallest_of_models_opens_on_a_cpu() -> None:
    check("cpu", "onnxruntime")
    check("auto", "auto")


@needs_mxnet
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
    monkeypatch.setattr(ort, "InferenceSession", Session)
    with pytest.raises(DeviceError, match=rf"gpu cannot be used here: onnxruntime: \[ONNXRuntimeError\] {NO_MEMORY}$"):
        open_engine(tiny_checkpoint(), "gpu", "onnxruntime")


def test_onnxruntime_that_falls_back_by_itself_is_not_taken_for_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    start = ort.InferenceSession
    monkeypatch.setattr(ort_engine, "_prepare_cuda", lambda: None)
    monkeypatch.setattr(ort, "InferenceSession", lambda *args, **_: start(*args, providers=[ort_engine.CPU]))
    with pytest.raises(DeviceError, match="could not start its CUDA provider"):
        open_engine(tiny_checkpoint(), "gpu", "onnxruntime")


@pytest.mark.parametrize(
    ("cores", "asked", "threads"), [(1, None, 1), (7, None, 7), (8, None, 8), (64, None, 8), (64, 12, 12), (1, 3, 3)]
)
def test_onnxruntime_gets_the_threads_asked_for_or_the_cores_there_are_up_to_eight(
    cores: int, asked: int | None, threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = []
    real = ort_engine._options

    def options(count: int, spin: bool) -> Any:
        made.append((count, spin))
        return real(1, False)

    monkeypatch.setattr(ort_engine, "available_cores", lambda: cores)
    monkeypatch.setattr(ort_engine, "_options", options)
    open_engine(tiny_checkpoint(), "cpu", "onnxruntime", asked, spin=False)
    open_engine(tiny_checkpoint(), "cpu", "onnxruntime", asked)
    assert made == [(threads, False), (threads, True)]


@pytest.mark.parametrize(("spin", "entry"), [(True, "1"), (False, "0")])
def test_a_session_has_its_threads_and_says_errors_only(spin: bool, entry: str) -> None:
    options = ort_engine._options(3, spin)
    assert (options.intra_op_num_threads, options.inter_op_num_threads, options.log_severity_level) == (3, 1, 3)
    assert options.get_session_config_entry("session.intra_op.allow_spinning") == entry


def test_onnxruntime_without_its_cuda_provider_or_a_driver_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> None:
        raise OSError(name)

    monkeypatch.setattr(ort, "preload_dlls", lambda **_: pytest.fail("went on"), raising=False)
    monkeypatch.setattr(ort, "get_available_providers", lambda: [ort_engine.CPU])
    with pytest.raises(DeviceError, match=r"^device: gpu cannot be used here: .*no CUDA provider"):
        ort_engine._prepare_cuda()
    monkeypatch.setattr(ort, "get_available_providers", lambda: [ort_engine.CUDA, ort_engine.CPU])
    monkeypatch.setattr(ctypes, "CDLL", missing)
    with pytest.raises(DeviceError, match=r"^device: gpu cannot be used here: no NVIDIA driver"):
        ort_engine._prepare_cuda()


def test_what_preloading_prints_is_not_shown(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    loaded: list[str] = []
    monkeypatch.setattr(ort, "get_available_providers", lambda: [ort_engine.CUDA])
    monkeypatch.setattr(ctypes, "CDLL", loaded.append)
    monkeypatch.setattr(ort, "preload_dlls", lambda directory: print("missed", directory), raising=False)
    ort_engine._prepare_cuda()
    assert loaded == ["libcuda.so.1"]
    assert capsys.readouterr().out == ""


def test_an_error_is_shown_by_its_first_line_or_its_kind() -> None:
    assert ort_engine._first_line(RuntimeError("\n  one \ntwo")) == "one"
    assert ort_engine._first_line(RuntimeError(" \n")) == "RuntimeError"
