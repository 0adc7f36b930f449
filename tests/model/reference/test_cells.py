from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from model.arrays import Int32s2D
from model.config import GATES, ModelConfig
from tests.book import Arrays, book_forward
from tests.reference import cells, mx, needs_mxnet, on_context

pytestmark = needs_mxnet

N, T = 2, 5
CASES = [(cell, layers) for cell in GATES for layers in (1, 2)]
# Of two layers, the simplest cell alone is quick enough for numeric gradients.
NUMERIC = [
    pytest.param(cell, layers, marks=[pytest.mark.slow] if layers == 2 and cell != "rnn" else [])
    for cell, layers in CASES
]


def float64_parameters(config: ModelConfig, seed: int = 0) -> Arrays:
    rng = np.random.default_rng(seed)
    return {name: rng.normal(0, 0.5, shape) for name, shape in config.parameter_shapes().items()}


def forward(config: ModelConfig, parameters: Any, indices: Int32s2D, state: Any) -> tuple[list[Any], Any]:
    """Logits (T, N, V) as a list of NDArrays, and the state after the last step."""
    Y = []
    for t in range(indices.shape[1]):
        x = cells.gather(mx.nd.array(indices[:, t], dtype="int32"))
        H, state = cells.stack_step(config, x, state, parameters)
        Y.append(cells.output(H, parameters))
    return Y, state


def example(cell: str, layers: int, steps: int = T) -> tuple[ModelConfig, Arrays, Int32s2D]:
    config = ModelConfig(cell, layers, hidden_dim=4, vocab_size=6)
    indices = np.random.default_rng(1).integers(0, 6, (N, steps)).astype(np.int32)
    return config, float64_parameters(config), indices


@pytest.mark.parametrize(("cell", "layers"), CASES)
def test_a_stack_computes_the_books_equations(cell: str, layers: int) -> None:
    config, p, indices = example(cell, layers)
    Y, state = forward(config, on_context(p, mx.cpu()), indices, cells.zero_state(config, N, mx.cpu(), "float64"))
    expected_Y, expected_state = book_forward(config, p, indices)
    np.testing.assert_allclose(np.stack([y.asnumpy() for y in Y]), expected_Y, rtol=1e-12)
    for ours, theirs in zip(state, expected_state, strict=True):
        np.testing.assert_allclose(ours.asnumpy(), theirs, rtol=1e-12)


@pytest.mark.parametrize(("cell", "layers"), NUMERIC)
def test_gradients_agree_with_numeric_ones_in_float64(cell: str, layers: int) -> None:
    config, p, indices = example(cell, layers, steps=4)
    labels = mx.nd.array(np.random.default_rng(2).integers(0, 6, (4, N)), dtype="int32")
    parameters = on_context(p, mx.cpu())

    def loss() -> Any:
        Y, _ = forward(config, parameters, indices, cells.zero_state(config, N, mx.cpu(), "float64"))
        return -sum(mx.nd.pick(mx.nd.log_softmax(y), labels[t]).sum() for t, y in enumerate(Y))

    for array in parameters.values():
        array.attach_grad()
    with mx.autograd.record():
        total = loss()
    total.backward()
    rng, step = np.random.default_rng(3), 1e-6
    for name, array in parameters.items():
        gradient = array.grad.asnumpy()
        for _ in range(2):
            at = tuple(int(rng.integers(0, n)) for n in p[name].shape)
            values = []
            for sign in (1, -1):
                moved = p[name].copy()
                moved[at] += sign * step
                array[:] = mx.nd.array(moved, dtype="float64")
                values.append(loss().asscalar())
            array[:] = mx.nd.array(p[name], dtype="float64")
            numeric = (values[0] - values[1]) / (2 * step)
            assert abs(numeric - gradient[at]) <= 1e-7 * max(1, abs(numeric)), f"{name}{at}"


@pytest.mark.parametrize(("cell", "layers"), CASES)
def test_one_long_sequence_equals_three_resumed_pieces(cell: str, layers: int) -> None:
    config, p, indices = example(cell, layers, steps=9)
    parameters = on_context({k: v.astype(np.float32) for k, v in p.items()}, mx.cpu())
    whole, end = forward(config, parameters, indices, cells.zero_state(config, N, mx.cpu()))
    state, pieces = cells.zero_state(config, N, mx.cpu()), []
    for start, stop in ((0, 2), (2, 7), (7, 9)):
        Y, state = forward(config, parameters, indices[:, start:stop], state)
        pieces += Y
    for a, b in zip([*whole, *end], [*pieces, *state], strict=True):
        np.testing.assert_array_equal(a.asnumpy(), b.asnumpy())


def test_gathering_rows_is_the_one_hot_product_bit_for_bit() -> None:
    W = mx.nd.array(np.random.default_rng(0).normal(size=(50, 8)), dtype="float32")
    indices = mx.nd.array([3, 49, 0, 3], dtype="int32")
    np.testing.assert_array_equal(cells.gather(indices)(W).asnumpy(), cells.one_hot(indices, 50)(W).asnumpy())
