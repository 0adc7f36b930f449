from __future__ import annotations

import logging

import pytest

from model.errors import DeviceError
from tests.reference import device, needs_mxnet

pytestmark = needs_mxnet


@pytest.fixture
def no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device, "gpu_problem", lambda: "no kernel image is available")


@pytest.mark.usefixtures("no_gpu")
def test_try_gpu_falls_back_to_the_cpu_with_one_line_that_says_why(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        assert device.try_gpu() == device.mx.cpu()
    assert caplog.messages == ["using the CPU: no kernel image is available"]


@pytest.mark.usefixtures("no_gpu")
def test_a_gpu_asked_for_by_name_is_never_pretended() -> None:
    with pytest.raises(DeviceError, match="gpu cannot be used here: no kernel image"):
        device.context("gpu")
    with pytest.raises(DeviceError, match="'tpu' is not one of auto, cpu, gpu"):
        device.context("tpu")
    assert device.context("auto") == device.context("cpu") == device.mx.cpu()


@pytest.mark.parametrize("stage", ["counting", "computing"])
def test_an_error_of_the_driver_or_of_a_kernel_is_a_reason_not_a_crash(
    monkeypatch: pytest.MonkeyPatch, stage: str
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise device.mx.base.MXNetError("Traceback:\n  CUDA: no kernel image is available for execution")

    if stage == "counting":
        monkeypatch.setattr(device.mx.context, "num_gpus", fail)
    else:
        monkeypatch.setattr(device.mx.context, "num_gpus", lambda: 1)
        monkeypatch.setattr(device.mx.nd, "ones", fail)
    assert device.gpu_problem.__wrapped__() == "CUDA: no kernel image is available for execution"


def test_a_wrong_product_is_a_reason_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device.mx.context, "num_gpus", lambda: 1)
    monkeypatch.setattr(device.mx, "gpu", lambda _: device.mx.cpu())
    assert device.gpu_problem.__wrapped__() is None
    monkeypatch.setattr(device.mx.nd, "dot", lambda a, _: a)
    assert device.gpu_problem.__wrapped__() == "a 2×2 product came back wrong"


@pytest.mark.parametrize(
    ("words", "shown"),
    [("C++ stack\n  a line of it\n  what went wrong \n\n", "what went wrong"), ("  ", "MXNet gave no reason")],
)
def test_the_reason_is_the_last_line_of_an_error(words: str, shown: str) -> None:
    assert device.reason(ValueError(words)) == shown


def test_a_gpu_that_works_is_taken_and_the_cpu_where_it_is_asked_for(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(device, "gpu_problem", lambda: None)
    with caplog.at_level(logging.INFO):
        assert device.try_gpu() == device.context("auto") == device.context("gpu") == device.mx.gpu(0)
    assert device.context("cpu") == device.mx.cpu()
    assert caplog.messages == []


def test_a_machine_without_a_driver_or_a_card_is_not_asked_to_compute(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device.mx.nd, "ones", lambda *_, **__: pytest.fail("computed"))
    monkeypatch.setattr(device.mx.context, "num_gpus", lambda: 0)
    assert device.gpu_problem.__wrapped__() == "MXNet sees no GPU"
    monkeypatch.setattr(device, "_NO_DRIVER", "no driver is installed")
    assert device.gpu_problem.__wrapped__() == "no driver is installed"


def test_the_product_that_decides_is_computed_on_the_card(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def gpu(number: int) -> device.Context:
        asked.append(number)
        return device.mx.cpu()

    monkeypatch.setattr(device.mx.context, "num_gpus", lambda: 1)
    monkeypatch.setattr(device.mx, "gpu", gpu)
    assert device.gpu_problem.__wrapped__() is None
    assert asked == [0]
