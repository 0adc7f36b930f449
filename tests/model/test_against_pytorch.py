"""The backend for CPUs against PyTorch: logits, losses, states and gradients of every parameter.

PyTorch judges where MXNet does not exist, and knows nothing of our code. `nn.RNN` and `nn.LSTM` hold the book's
weights; `nn.GRU` multiplies with the reset gate behind the product and not before it, so the book's equations of a GRU
are written here in PyTorch's operations. Its automatic differentiation gives all gradients. `pytest -rP` shows the
differences.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from model.arrays import zero_state
from model.config import GATES, ModelConfig
from model.training.backends.cpu.backend import CpuBackend

torch = pytest.importorskip("torch", reason="needs PyTorch: pip install -e .[bench]")

N, T, H, V = 5, 6, 37, 29  # rows that do not fill a block of four
# Of logits and states, absolute; of each gradient, in parts of its largest number.
TOLERANCES = {"float32": 1e-5, "float64": 1e-13}
TORCHS_ORDER = {"rnn": "h", "lstm": "ifco"}  # of gates: its g is the book's c


def example(cell: str, layers: int, dtype: str) -> tuple[CpuBackend, dict[str, Any], tuple[Any, ...]]:
    """A backend with random weights, the same weights as leaves of PyTorch's graph, and a batch with its state."""
    config, rng = ModelConfig(cell, layers, H, V), np.random.default_rng(layers)
    backend = CpuBackend(config, dtype, threads=2)
    backend.load({name: rng.normal(0, 0.3, shape) for name, shape in config.parameter_shapes().items()})
    leaves = {
        name: torch.tensor(np.array(array), requires_grad=True)
        for name, array in backend._book_views(backend.weights).items()
    }
    text = rng.integers(0, V, (N, T + 1)).astype(np.int32)
    state = tuple(
        rng.normal(0, 0.5, array.shape).astype(dtype)
        for array in zero_state(config.state_names, N, config.hidden_dim, np.dtype(dtype))
    )
    return backend, leaves, (text[:, :-1], text[:, 1:], state)


def by_torch(config: ModelConfig, p: dict[str, Any], ids: Any, state: Any) -> tuple[Any, list[Any]]:
    """Logits (T, N, V) and the state behind them, in the order of `ModelConfig.state_names`."""
    x = torch.nn.functional.one_hot(torch.tensor(ids.T, dtype=torch.int64), V).to(p["W_hy"].dtype)
    after: list[Any] = []
    kinds = len(state) // config.num_layers
    for layer in range(config.num_layers):
        own = [torch.tensor(array) for array in state[layer * kinds : (layer + 1) * kinds]]
        named = {name.removeprefix(config.prefix(layer)): value for name, value in p.items()}
        x, last = gru(named, x, own[0]) if config.cell == "gru" else fused(config.cell, named, x, own)
        after += last
    return x @ p["W_hy"] + p["b_y"], after


def fused(cell: str, q: dict[str, Any], x: Any, state: list[Any]) -> tuple[Any, list[Any]]:
    """One layer of nn.RNN or nn.LSTM; of its two biases, the second is zero."""
    net = {"rnn": torch.nn.RNN, "lstm": torch.nn.LSTM}[cell](x.shape[-1], H, dtype=x.dtype)
    gates = TORCHS_ORDER[cell]
    weights = {
        "weight_ih_l0": torch.cat([q[f"W_x{g}"].T for g in gates]),
        "weight_hh_l0": torch.cat([q[f"W_h{g}"].T for g in gates]),
        "bias_ih_l0": torch.cat([q[f"b_{g}"] for g in gates]),
        "bias_hh_l0": torch.zeros(len(gates) * H, dtype=x.dtype),
    }
    begin = state[0][None] if cell == "rnn" else (state[0][None], state[1][None])
    out, last = torch.func.functional_call(net, weights, (x, begin))
    return out, [array[0] for array in (last if cell == "lstm" else (last,))]


def gru(q: dict[str, Any], x: Any, state: Any) -> tuple[Any, list[Any]]:
    outputs = []
    for step in x:
        Z, R = (torch.sigmoid(step @ q[f"W_x{g}"] + state @ q[f"W_h{g}"] + q[f"b_{g}"]) for g in "zr")
        state = Z * state + (1 - Z) * torch.tanh(step @ q["W_xh"] + (R * state) @ q["W_hh"] + q["b_h"])
        outputs.append(state)
    return torch.stack(outputs), [state]


@pytest.mark.parametrize("dtype", TOLERANCES)
@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("cell", GATES)
def test_logits_losses_states_and_gradients_are_those_of_pytorch(cell: str, layers: int, dtype: str) -> None:
    backend, leaves, (data, labels, state) = example(cell, layers, dtype)
    logits, after = by_torch(backend.config, leaves, data, state)
    expected = torch.nn.functional.cross_entropy(
        logits.reshape(-1, V), torch.tensor(labels.T.reshape(-1), dtype=torch.int64), reduction="sum"
    )
    expected.backward()
    loss, last = backend.gradients(data, labels, state)
    ours, own = [], state
    for t in range(T):
        step, own = backend.step(np.ascontiguousarray(data[:, t]), own)
        ours.append(step)

    gradients = backend._book_views(backend.gradient)
    assert gradients.keys() == leaves.keys()
    differences = {
        "loss": abs(loss - expected.item()) / expected.item(),
        "logits": np.abs(np.stack(ours) - logits.detach().numpy()).max(),
        "states": max(np.abs(a - b.detach().numpy()).max() for a, b in zip(last, after, strict=True)),
        "gradients": max(
            np.abs(gradients[name] - leaf.grad.numpy()).max() / np.abs(leaf.grad.numpy()).max()
            for name, leaf in leaves.items()
        ),
    }
    print(cell, layers, dtype, {name: f"{value:.1e}" for name, value in differences.items()})
    assert all(value <= TOLERANCES[dtype] for value in differences.values()), differences
