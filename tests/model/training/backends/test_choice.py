from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from model.arrays import Int32s2D, zero_state
from model.config import GATES, ModelConfig
from model.errors import OptionError
from model.kernels import bfloat16
from model.training.backend import Backend, lent
from model.training.backends import choice
from model.training.backends.choice import open_backend
from model.training.backends.cpu import backend as fast
from tests.reference import named, needs_mxnet

BACKENDS = (named("cpu"), named("mxnet"))


def filled(name: str, cell: str) -> tuple[Backend, ModelConfig, Int32s2D]:
    """A backend with random weights, and a batch of 3 rows of 5 characters with what follows them."""
    rng = np.random.default_rng(0)
    config = ModelConfig(cell, 2, 8, 11)
    backend = open_backend(name, "cpu", config)
    backend.weights[:] = rng.normal(0, 0.3, len(backend.weights))
    return backend, config, rng.integers(0, 11, (3, 6)).astype(np.int32)


@pytest.mark.parametrize("cell", GATES)
@pytest.mark.parametrize("name", BACKENDS)
def test_measuring_leaves_the_gradient_alone(name: str, cell: str) -> None:
    """A validation between a gradient and its use must not change what is learned."""
    backend, config, ids = filled(name, cell)
    state = zero_state(config.state_names, 3, config.hidden_dim, np.float32)
    backend.gradients(ids[:, :-1], ids[:, 1:], state)
    gradient = backend.gradient.copy()
    assert gradient.any()
    backend.losses(ids[::-1, :-1], ids[:, 1:], state)
    backend.step(ids[:, 0], state)
    np.testing.assert_array_equal(backend.gradient, gradient)


@pytest.mark.parametrize("name", BACKENDS)
def test_the_gradient_of_the_last_bias_is_that_of_the_losses(name: str) -> None:
    """By central differences of the sum of the losses."""
    backend, config, ids = filled(name, "gru")
    state = zero_state(config.state_names, 3, config.hidden_dim, np.float32)
    backend.gradients(ids[:, :-1], ids[:, 1:], state)
    ours = backend.named(backend.gradient)["b_y"]
    values = backend.named(backend.weights)
    for place in range(config.vocab_size):
        sums = []
        for step in (1e-2, -1e-2):
            moved = values["b_y"].copy()
            moved[place] += step
            backend.load({**values, "b_y": moved})
            losses, _ = backend.losses(ids[:, :-1], ids[:, 1:], state)
            sums.append(float(losses.sum(dtype=np.float64)))
        assert ours[place] == pytest.approx((sums[0] - sums[1]) / 2e-2, abs=2e-3)


def test_weights_are_lent_and_given_back_whatever_happens() -> None:
    backend, _, _ = filled("cpu", "rnn")
    own, other = backend.weights.copy(), np.full_like(backend.weights, 7)
    place = backend.weights

    def borrow() -> None:
        with lent(backend, other):
            np.testing.assert_array_equal(backend.weights, other)
            raise RuntimeError("within")

    with pytest.raises(RuntimeError, match="within"):
        borrow()
    assert backend.weights is place
    np.testing.assert_array_equal(backend.weights, own)


def test_a_backend_that_cannot_do_what_is_asked_is_refused() -> None:
    config = ModelConfig("rnn", 1, 4, 5)
    with pytest.raises(OptionError, match="backend: 'cpu' computes on the CPU only"):
        open_backend("cpu", "gpu", config)
    with pytest.raises(OptionError, match="precision: 'bfloat16' is of the cpu backend"):
        open_backend("mxnet", "cpu", config, "bfloat16")
    assert open_backend("auto", "cpu", config).name == "cpu"


@needs_mxnet
def test_a_gpu_is_asked_for_only_where_there_may_be_one(monkeypatch: pytest.MonkeyPatch) -> None:
    config, asked = ModelConfig("rnn", 1, 4, 5), list[str]()

    def context(device: str) -> Any:
        asked.append(device)
        return SimpleNamespace(device_type="cpu")

    monkeypatch.setattr("model.reference.device.context", context)
    for present in (False, True):
        monkeypatch.setattr(choice, "gpu_present", lambda answer=present: answer)
        for device in ("auto", "cpu", "gpu"):
            assert open_backend("auto", device, config).name == "cpu"
    assert asked == ["gpu", "auto", "gpu"]


@needs_mxnet
def test_a_gpu_that_works_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(choice, "gpu_present", lambda: True)
    monkeypatch.setattr("model.reference.device.try_gpu", lambda: SimpleNamespace(device_type="gpu"))
    monkeypatch.setattr("model.training.backends.mxnet.MXNetBackend", lambda config, ctx: ctx.device_type)
    opened: Any = open_backend("auto", "auto", ModelConfig("rnn", 1, 4, 5))
    assert opened == "gpu"


def test_auto_precision_is_what_the_processor_has_and_what_it_has_not_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    config, made = ModelConfig("rnn", 1, 4, 5), list[str]()
    monkeypatch.setattr(fast, "CpuBackend", lambda _, precision: made.append(precision))
    monkeypatch.setattr(bfloat16, "available", lambda: True)
    for precision in ("auto", "bfloat16", "float32"):
        open_backend("cpu", "cpu", config, precision)
    monkeypatch.setattr(bfloat16, "available", lambda: False)
    for precision in ("auto", "float32"):
        open_backend("auto", "cpu", config, precision)
    assert made == ["bfloat16", "bfloat16", "float32", "float32", "float32"]
    with pytest.raises(OptionError, match="precision: this processor does not multiply bfloat16") as refused:
        open_backend("cpu", "cpu", config, "bfloat16")
    assert refused.value.field == "precision"


@pytest.mark.parametrize(
    ("field", "allowed"),
    [("backend", "auto, mxnet, cpu"), ("device", "auto, cpu, gpu"), ("precision", "auto, float32, bfloat16")],
)
@pytest.mark.parametrize("value", ["torch", "CPU", "", None])
def test_a_name_that_is_none_is_refused_and_not_taken_for_the_cpu(field: str, value: Any, allowed: str) -> None:
    given = {"backend": "cpu", "device": "cpu", "precision": "float32", field: value}
    with pytest.raises(OptionError, match=f"^{field}: {value!r} is not one of {allowed}$"):
        open_backend(given["backend"], given["device"], ModelConfig("rnn", 1, 4, 5), given["precision"])
