from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import pytest

from model.config import GATES, ModelConfig
from model.errors import OptionError
from model.kernels import bfloat16
from model.training.backends.choice import open_backend
from model.training.backends.cpu.backend import CpuBackend
from model.training.optimisation.dropout import draw
from model.training.optimisation.initialise import initial_parameters
from model.training.options import TrainingOptions
from tests.book import by_the_book
from tests.reference import MXNetBackend, mx, named, needs_mxnet

N, T, V = 5, 6, 29  # rows that do not fill a block of four
needs_bfloat16 = pytest.mark.skipif(not bfloat16.available(), reason="this processor does not multiply bfloat16")
CASES = [(cell, layers) for cell in GATES for layers in (1, 2)]


def filled(cell: str, layers: int, dtype: str, hidden_dim: int = 37) -> CpuBackend:
    config = ModelConfig(cell, layers, hidden_dim, V)
    backend = CpuBackend(config, dtype, threads=2)
    backend.load(initial_parameters(config, np.random.default_rng(1), "uniform"))
    return backend


def pair(cell: str, layers: int, dtype: str) -> tuple[MXNetBackend, CpuBackend]:
    """The reference and the backend for CPUs, with the same weights."""
    fast = filled(cell, layers, dtype)
    reference = MXNetBackend(fast.config, mx.cpu(), dtype)
    reference.load(initial_parameters(fast.config, np.random.default_rng(1), "uniform"))
    return reference, fast


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


@pytest.mark.parametrize("dropout", [0.0, 0.3])
@pytest.mark.parametrize(("cell", "layers"), CASES)
def test_losses_and_state_are_those_of_the_books_equations(cell: str, layers: int, dropout: float) -> None:
    fast = filled(cell, layers, "float64", hidden_dim=7)
    inputs = batch(fast, dropout)
    losses, _, after = by_the_book(fast.config, fast._book_views(fast.weights), *inputs)
    loss, state = fast.gradients(*inputs)
    assert loss == pytest.approx(losses.sum(), rel=1e-12)
    for ours, theirs in zip(state, after, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-12)


@needs_mxnet
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
    expected = reference._flat.views(reference.gradient)
    for name, gradient in fast._book_views(fast.gradient).items():
        assert np.abs(gradient - expected[name]).max() <= tolerance * np.abs(expected[name]).max(), name


@pytest.mark.parametrize(("cell", "layers"), CASES)
def test_gradients_are_the_slopes_of_the_loss(cell: str, layers: int) -> None:
    fast = filled(cell, layers, "float64", hidden_dim=7)
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
    fast = filled(cell, 2, "float64")
    data, labels, state, _ = batch(fast)
    whole, end = fast.losses(data, labels, state)
    pieces = []
    for piece in (slice(0, 1), slice(1, 4), slice(4, T)):
        losses, state = fast.losses(data[:, piece], labels[:, piece], state)
        pieces.append(losses)
    np.testing.assert_allclose(np.concatenate(pieces, axis=1), whole, rtol=1e-12)
    for ours, theirs in zip(state, end, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-12)


@needs_mxnet
@pytest.mark.parametrize("cell", GATES)
def test_steps_give_the_logits_of_the_reference(cell: str) -> None:
    reference, fast = pair(cell, 2, "float32")
    _, _, state, _ = batch(fast)
    ids = np.arange(N, dtype=np.int32)
    for (expected, _), (logits, _) in product([reference.step(ids, state)], [fast.step(ids, state)]):
        np.testing.assert_allclose(logits, expected, atol=1e-5)


@pytest.mark.parametrize("name", [named("cpu"), named("mxnet")])
def test_parameters_come_back_as_they_were_put_in(name: str) -> None:
    config = ModelConfig("gru", 2, 37, V)
    backend = open_backend(name, "cpu", config)
    parameters = initial_parameters(config, np.random.default_rng(4), "uniform")
    backend.load(parameters)
    back = backend.named(backend.weights)
    assert list(back) == list(config.parameter_shapes())
    assert all(np.array_equal(back[name], parameters[name]) for name in parameters)


def test_the_same_batch_gives_the_same_bytes() -> None:
    fast = filled("lstm", 2, "float32")
    inputs = batch(fast, dropout=0.3)
    fast.gradients(*inputs)
    first = fast.gradient.tobytes()
    for _ in range(5):
        fast.gradients(*inputs)
        assert fast.gradient.tobytes() == first


@needs_bfloat16
@pytest.mark.parametrize(("cell", "layers"), CASES)
def test_bfloat16_changes_gradients_by_its_rounding_only(cell: str, layers: int) -> None:
    exact = filled(cell, layers, "float32")
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
    exact = filled("lstm", 2, "float32")
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
