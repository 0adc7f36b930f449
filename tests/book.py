"""The book's equations written in plain NumPy, apart from all code under test: they judge on every platform.

Knows nothing of MXNet: tests/reference.py has what is judged by it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from model.checkpoint import Checkpoint
from model.config import GATES, ModelConfig
from model.training.optimisation.dropout import Masks

Arrays = dict[str, npt.NDArray[np.float64]]
State = list[npt.NDArray[np.float64]]


def sigmoid(x: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    return 1 / (1 + np.exp(-x))


def book_forward(
    config: ModelConfig, p: Arrays, indices: npt.NDArray[np.int32], state: State | None = None
) -> tuple[npt.NDArray[np.float64], State]:
    """Logits (T, N, V) and the last state, for indices (N, T). Zeros are the state before the first."""
    kinds = 2 if config.cell == "lstm" else 1
    zeros = np.zeros((len(indices), config.hidden_dim))
    state = [zeros] * (config.num_layers * kinds) if state is None else state
    H, C = state[::kinds], state[kinds - 1 :: kinds]
    Y = []
    for t in range(indices.shape[1]):
        X = np.eye(config.vocab_size)[indices[:, t]]
        for k in range(config.num_layers):
            q = {name.split(".")[-1]: value for name, value in p.items() if f"layer{1 - k}." not in name}
            if config.cell == "rnn":
                H[k] = np.tanh(X @ q["W_xh"] + H[k] @ q["W_hh"] + q["b_h"])
            elif config.cell == "gru":
                Z = sigmoid(X @ q["W_xz"] + H[k] @ q["W_hz"] + q["b_z"])
                R = sigmoid(X @ q["W_xr"] + H[k] @ q["W_hr"] + q["b_r"])
                tilde = np.tanh(X @ q["W_xh"] + (R * H[k]) @ q["W_hh"] + q["b_h"])
                H[k] = Z * H[k] + (1 - Z) * tilde
            else:
                gate = {g: X @ q[f"W_x{g}"] + H[k] @ q[f"W_h{g}"] + q[f"b_{g}"] for g in "ifoc"}
                C[k] = sigmoid(gate["f"]) * C[k] + sigmoid(gate["i"]) * np.tanh(gate["c"])
                H[k] = sigmoid(gate["o"]) * np.tanh(C[k])
            X = H[k]
        Y.append(X @ p["W_hy"] + p["b_y"])
    return np.stack(Y), [array for pair in zip(H, C, strict=True) for array in pair[:kinds]]


def book_predict(prefix: str, num_chars: int, checkpoint: Checkpoint) -> str:
    """The text of `predict_rnn`, computed in float64: the prefix as the model sees it, and what it writes after it."""
    p = {name: array.astype(np.float64) for name, array in checkpoint.parameters.items()}
    text, state = checkpoint.rules.apply(prefix), None
    unread = checkpoint.vocabulary.encode(text)
    for _ in range(num_chars):
        Y, state = book_forward(checkpoint.config, p, unread[None, :], state)
        unread = Y[-1].argmax(axis=1).astype(np.int32)
        text += checkpoint.vocabulary.decode(unread)
    return text


def sigma(x: Any) -> Any:
    return 1 / (1 + np.exp(-x))


def rnn(z: Callable[..., Any], H: Any, C: Any) -> Any:
    return np.tanh(z("h", H)), C


def gru(z: Callable[..., Any], H: Any, C: Any) -> Any:
    Z, R = sigma(z("z", H)), sigma(z("r", H))
    return Z * H + (1 - Z) * np.tanh(z("h", R * H)), C


def lstm(z: Callable[..., Any], H: Any, C: Any) -> Any:
    I, F, O = (sigma(z(g, H)) for g in "ifo")  # noqa: E741 - the book's letters
    C = F * C + I * np.tanh(z("c", H))
    return O * np.tanh(C), C


CELLS = {"rnn": rnn, "gru": gru, "lstm": lstm}


def by_the_book(config: ModelConfig, p: Any, data: Any, labels: Any, state: Any, masks: Masks) -> tuple[Any, Any, Any]:
    """The loss of each character (N, T), the logits of the last step (N, V) and the state, one row at a time."""
    losses, logits, after = np.zeros(data.shape), [], [np.array(array) for array in state]
    kinds = len(state) // config.num_layers
    for n in range(len(data)):
        for t in range(data.shape[1]):
            x = np.eye(config.vocab_size)[data[n, t]]
            for layer in range(config.num_layers):
                name = f"layer{layer}." if config.num_layers > 1 else ""

                def z(g: str, H: Any, name: str = name, layer: int = layer, x: Any = x) -> Any:
                    W = p[f"{name}W_h{g}"]
                    if masks.recurrent:
                        place = GATES[config.cell].index(g) * len(W)
                        W = W * masks.recurrent[layer][:, place : place + len(W)]
                    return x @ p[f"{name}W_x{g}"] + H @ W + p[f"{name}b_{g}"]

                own = after[layer * kinds : (layer + 1) * kinds]
                new = CELLS[config.cell](z, own[0][n], own[-1][n])
                for array, value in zip(own, new, strict=False):
                    array[n] = value
                hidden = masks.layers[layer] if layer + 1 < config.num_layers and masks.layers else None
                x = own[0][n] * (1 if hidden is None else hidden[t, n])
            y = (x if masks.output is None else x * masks.output[t, n]) @ p["W_hy"] + p["b_y"]
            losses[n, t] = np.log(np.exp(y).sum()) - y[labels[n, t]]
        logits.append(y)
    return losses, np.array(logits), after
