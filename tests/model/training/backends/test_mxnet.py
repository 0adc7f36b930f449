"""The reference backend in float64 against the book's equations in NumPy, and its gradient against differences."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

from model.arrays import zero_state
from model.config import GATES, ModelConfig
from model.training.optimisation.dropout import NO_MASKS, Masks
from tests.book import by_the_book
from tests.reference import MXNetBackend, mx, needs_mxnet

pytestmark = needs_mxnet

N, T, H, V = 2, 3, 4, 5


def filled(cell: str, layers: int) -> tuple[ModelConfig, MXNetBackend, Any, Any, Any]:
    """A backend with random weights, with data, labels and a state that is not zero."""
    config, rng = ModelConfig(cell, layers, H, V), np.random.default_rng(layers)
    backend = MXNetBackend(config, mx.cpu(), "float64")
    backend.weights[:] = rng.normal(0, 0.5, len(backend.weights))
    state = tuple(rng.normal(0, 0.5, array.shape) for array in zero_state(config.state_names, N, H, np.float64))
    text = rng.integers(0, V, (N, T + 1)).astype(np.int32)
    return config, backend, text[:, :-1], text[:, 1:], state


def drawn(cell: str, layers: int) -> list[Masks]:
    """None, each alone, and all at once."""
    rng = np.random.default_rng(9)

    def mask(*shape: int) -> Any:
        return rng.choice([0, 2], shape).astype(np.float32)

    one = Masks(
        tuple(mask(T, N, H) for _ in range(layers - 1)), mask(T, N, H),
        tuple(mask(H, len(GATES[cell]) * H) for _ in range(layers)),
    )  # fmt: skip
    nothing = (None,) * (layers - 1)
    alone = [Masks(nothing), Masks(layers=one.layers), Masks(output=one.output)]
    return [NO_MASKS, *alone, Masks(recurrent=one.recurrent), one]


def views(backend: MXNetBackend, config: ModelConfig, vector: Any) -> dict[str, Any]:
    """The parameters by name: matrices first, in the book's order, then the biases."""
    shapes, found, at = config.parameter_shapes(), {}, 0
    for matrices in (True, False):
        for name, shape in shapes.items():
            if (len(shape) == 2) is matrices:
                found[name] = vector[at : at + int(np.prod(shape))].reshape(shape)
                at += int(np.prod(shape))
        if matrices:
            assert at == backend.num_decayed
    assert at == len(vector)
    return found


@pytest.mark.parametrize(("cell", "layers"), list(itertools.product(GATES, (1, 2, 3))))
def test_losses_logits_and_state_are_those_of_the_book(cell: str, layers: int) -> None:
    config, backend, data, labels, state = filled(cell, layers)
    p = views(backend, config, backend.weights)
    for masks in drawn(cell, layers):
        losses, logits, after = by_the_book(config, p, data, labels, state, masks)
        loss, new = backend.gradients(data, labels, state, masks)
        assert loss == pytest.approx(losses.sum(), rel=1e-12)
        np.testing.assert_allclose(new, after, rtol=1e-10, atol=1e-12)
        if masks is NO_MASKS:
            found, new = backend.losses(data, labels, state)
            np.testing.assert_allclose(found, losses, rtol=1e-10)
            np.testing.assert_allclose(new, after, rtol=1e-10, atol=1e-12)
            for t in range(T):
                found, state = backend.step(data[:, t], state)
            np.testing.assert_allclose(found, logits, rtol=1e-10)
            np.testing.assert_allclose(state, after, rtol=1e-10, atol=1e-12)
            _, _, _, _, state = filled(cell, layers)


@pytest.mark.parametrize("cell", GATES)
def test_the_gradient_is_that_of_the_books_losses_by_differences(cell: str) -> None:
    config, backend, data, labels, state = filled(cell, 2)
    masks = drawn(cell, 2)[-1]
    rng, weights = np.random.default_rng(3), backend.weights.copy()
    backend.gradients(data, labels, state, masks)
    for place in [*range(0, len(weights), 13), *rng.integers(0, len(weights), 10)]:
        sums = []
        for step in (1e-5, -1e-5):
            moved = weights.copy()
            moved[place] += step
            sums.append(by_the_book(config, views(backend, config, moved), data, labels, state, masks)[0].sum())
        assert backend.gradient[place] == pytest.approx((sums[0] - sums[1]) / 2e-5, abs=1e-8)


def test_parameters_come_and_go_under_the_books_names() -> None:
    config, backend, *_ = filled("lstm", 2)
    rng = np.random.default_rng(5)
    given = {name: rng.normal(size=shape).astype(np.float32) for name, shape in config.parameter_shapes().items()}
    backend.load(given)
    for name, array in views(backend, config, backend.weights).items():
        np.testing.assert_array_equal(array, given[name])
    named = backend.named(backend.weights)
    assert list(named) == list(given)
    for name, array in named.items():
        np.testing.assert_array_equal(array, given[name])
        assert array.dtype == np.float32
        array[...] = 0  # a copy
    assert backend.weights.any()
    assert MXNetBackend(config, mx.cpu()).weights.dtype == np.float32
    assert MXNetBackend(config, mx.cpu()).gradient.dtype == np.float32
