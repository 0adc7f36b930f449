from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import pytest

from model.config import GATES, ModelConfig
from model.errors import OptionError
from model.kernels import bfloat16
from model.reference.device import mx
from model.training.backends.choice import open_backend
from model.training.backends.cpu.backend import CpuBackend
from model.training.backends.mxnet import MXNetBackend
from model.training.optimisation.dropout import draw
from model.training.optimisation.initialise import initial_parameters
from model.training.options import TrainingOptions

N, T, V = 5, 6, 29  # rows that do not fill a block of four
needs_bfloat16 = pytest.mark.skipif(not bfloat16.available(), reason="this processor does not multiply bfloat16")
CASES = [(cell, layers) for cell in GATES for layers in (1, 2)]


def pair(cell: str, layers: int, dtype: str, hidden_dim: int = 37) -> tuple[MXNetBackend, CpuBackend]:
    config = ModelConfig(cell, layers, hidden_dim, V)
    parameters = initial_parameters(config, np.random.default_rng(1), "uniform")
    backends = MXNetBackend(config, mx.cpu(), dtype), CpuBackend(config, dtype, threads=2)
    for backend in backends:
        backend.load(parameters)
    return backends


def batch(backend: Any, dropout: float = 0.0) -> tuple[Any, ...]:
    rng = np.random.default_rng(2)
    c = backend.config
    data, labels = (rng.integers(0, V, (N, T)).astype(np.int32) for _ in range(2))
    state = tuple(rng.normal(0, 0.5, (N, c.hidden_dim)).astype(backend.weights.dtype) for _ in c.state_names)
    options = TrainingOptions(
        cell=c.cell, num_layers=c.num_layers, hidden_dim=c.hidden_dim,
        dropout_layers=dropout, dropout_output=dropout, dropout_recurrent=dropout,
    )  # fmt: skip
    return data, labels, state, draw(rng, options, N, T)


@pytest.mark.parametrize(("dtype", "tolerance"), [("float32", 1e-5), ("float64", 1e-12)])
@pytest.mark.parametrize(("cell", "layers"), CASES)
def test_gradients_losses_and_state_are_those_of_the_reference(
    cell: str, layers: int, dtype: str, tolerance: float
) -> None:
    reference, fast = pair(cell, layers, dtype)
    inputs = batch(fast, dropout=0.3)
    expected_loss, expected_state = reference.gradients(*inputs)
    loss, state = fast.gradients(*inputs)
    assert loss == pytest.approx(expected_loss, rel=tolerance)
    for ours, theirs in zip(state, expected_state, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=tolerance)
    theirs = reference._flat.views(reference.gradient)
    for name, gradient in fast._book_views(fast.gradient).items():
        assert np.abs(gradient - theirs[name]).max() <= tolerance * np.abs(theirs[name]).max(), name


@pytest.mark.parametrize(("cell", "layers"), CASES)
def test_gradients_are_the_slopes_of_the_loss(cell: str, layers: int) -> None:
    _, fast = pair(cell, layers, "float64", hidden_dim=7)
    inputs = batch(fast, dropout=0.3)
    fast.gradients(*inputs)
    gradient, step = fast.gradient.copy(), 1e-5
    for place in np.random.default_rng(3).choice(len(gradient), 40, replace=False):
        kept = fast.weights[place]
        either = []
        for moved in (kept + step, kept - step):
            fast.weights[place] = moved
            either.append(fast.gradients(*inputs)[0])
        fast.weights[place] = kept
        assert (either[0] - either[1]) / (2 * step) == pytest.approx(gradient[place], rel=1e-5, abs=1e-7)


@pytest.mark.parametrize("cell", GATES)
def test_one_sequence_equals_its_pieces(cell: str) -> None:
    _, fast = pair(cell, 2, "float64")
    data, labels, state, _ = batch(fast)
    whole, end = fast.losses(data, labels, state)
    pieces = []
    for piece in (slice(0, 1), slice(1, 4), slice(4, T)):
        losses, state = fast.losses(data[:, piece], labels[:, piece], state)
        pieces.append(losses)
    np.testing.assert_allclose(np.concatenate(pieces, axis=1), whole, rtol=1e-12)
    for ours, theirs in zip(state, end, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-12)


@pytest.mark.parametrize("cell", GATES)
def test_steps_give_the_logits_of_the_reference(cell: str) -> None:
    reference, fast = pair(cell, 2, "float32")
    _, _, state, _ = batch(fast)
    ids = np.arange(N, dtype=np.int32)
    for (expected, _), (logits, _) in product([reference.step(ids, state)], [fast.step(ids, state)]):
        np.testing.assert_allclose(logits, expected, atol=1e-5)


def test_parameters_come_back_as_they_were_put_in() -> None:
    for backend in pair("gru", 2, "float32"):
        parameters = initial_parameters(backend.config, np.random.default_rng(4), "uniform")
        backend.load(parameters)
        back = backend.named(backend.weights)
        assert list(back) == list(backend.config.parameter_shapes())
        assert all(np.array_equal(back[name], parameters[name]) for name in parameters)


def test_the_same_batch_gives_the_same_bytes() -> None:
    _, fast = pair("lstm", 2, "float32")
    inputs = batch(fast, dropout=0.3)
    fast.gradients(*inputs)
    first = fast.gradient.tobytes()
    for _ in range(5):
        fast.gradients(*inputs)
        assert fast.gradient.tobytes() == first


@needs_bfloat16
@pytest.mark.parametrize(("cell", "layers"), CASES)
def test_bfloat16_changes_gradients_by_its_rounding_only(cell: str, layers: int) -> None:
    _, exact = pair(cell, layers, "float32")
    rounded = CpuBackend(exact.config, threads=2, precision="bfloat16")
    rounded.weights[:] = exact.weights
    inputs = batch(exact, dropout=0.3)
    loss, _ = exact.gradients(*inputs)
    assert rounded.gradients(*inputs)[0] == pytest.approx(loss, rel=1e-3)
    theirs = exact._book_views(exact.gradient)
    for name, gradient in rounded._book_views(rounded.gradient).items():
        off = np.linalg.norm(gradient - theirs[name]) / np.linalg.norm(theirs[name])
        assert 1e-5 < off < 0.01, name  # a bfloat16 is off by at most 1/256


@needs_bfloat16
def test_losses_and_steps_are_float32_whatever_the_precision_of_training() -> None:
    _, exact = pair("lstm", 2, "float32")
    rounded = CpuBackend(exact.config, threads=2, precision="bfloat16")
    rounded.weights[:] = exact.weights
    data, labels, state, _ = batch(exact)
    assert rounded.losses(data, labels, state)[0].tobytes() == exact.losses(data, labels, state)[0].tobytes()
    assert rounded.step(data[:, 0], state)[0].tobytes() == exact.step(data[:, 0], state)[0].tobytes()


def test_a_precision_that_cannot_be_had_is_refused_in_words(monkeypatch: pytest.MonkeyPatch) -> None:
    config = ModelConfig("rnn", 1, 8, V)
    with pytest.raises(OptionError, match=r"precision: 'bfloat16' is of the cpu backend"):
        open_backend("mxnet", "cpu", config, "bfloat16")
    monkeypatch.setattr("model.kernels.bfloat16.available", lambda: False)
    with pytest.raises(OptionError, match=r"precision: this processor does not multiply bfloat16"):
        open_backend("cpu", "cpu", config, "bfloat16")
    assert open_backend("cpu", "cpu", config, "auto").name == "cpu"
