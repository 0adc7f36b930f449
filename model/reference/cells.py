"""The three recurrent cells, from scratch on MXNet NDArrays, and their stack.

Plain and slow on purpose: this is what everything faster is held against. Equations are those of the book (Dive into
Deep Learning, chapters on recurrent networks, GRU and LSTM); ⊙ is the element-wise product, σ the logistic function.

Shapes: N rows, D inputs (V at the bottom layer, H above), H hidden units, V characters.
State goes in and comes out: a tuple of (N, H) arrays in the order of `ModelConfig.state_names`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from model.config import ModelConfig
from model.reference.device import Context, NDArray, mx

nd = mx.nd

Parameters = Mapping[str, NDArray]
State = tuple[NDArray, ...]
# W of shape (D, H) ↦ X W of shape (N, H). The cells do not care whether X is dense or one-hot.
Project = Callable[[NDArray], NDArray]


def rnn(x: Project, state: State, p: Parameters) -> State:
    """H' = tanh(X W_xh + H W_hh + b_h). The new output is the first array of the state."""
    (H,) = state
    return (nd.tanh(x(p["W_xh"]) + nd.dot(H, p["W_hh"]) + p["b_h"]),)


def gru(x: Project, state: State, p: Parameters) -> State:
    """The gated recurrent unit.

    The reset gate acts before the product::

        Z  = σ(X W_xz + H W_hz + b_z)
        R  = σ(X W_xr + H W_hr + b_r)
        H~ = tanh(X W_xh + (R ⊙ H) W_hh + b_h)
        H' = Z ⊙ H + (1 − Z) ⊙ H~
    """
    (H,) = state
    Z = nd.sigmoid(x(p["W_xz"]) + nd.dot(H, p["W_hz"]) + p["b_z"])
    R = nd.sigmoid(x(p["W_xr"]) + nd.dot(H, p["W_hr"]) + p["b_r"])
    H_tilde = nd.tanh(x(p["W_xh"]) + nd.dot(R * H, p["W_hh"]) + p["b_h"])
    return (Z * H + (1 - Z) * H_tilde,)


def lstm(x: Project, state: State, p: Parameters) -> State:
    """Long short-term memory.

    Three gates, each with its own weights where the dots stand, and the memory cell::

        I, F, O = σ(X W_x· + H W_h· + b_·)
        C~ = tanh(X W_xc + H W_hc + b_c)
        C' = F ⊙ C + I ⊙ C~
        H' = O ⊙ tanh(C')
    """
    H, C = state
    I = nd.sigmoid(x(p["W_xi"]) + nd.dot(H, p["W_hi"]) + p["b_i"])  # noqa: E741 - the book's letter
    F = nd.sigmoid(x(p["W_xf"]) + nd.dot(H, p["W_hf"]) + p["b_f"])
    O = nd.sigmoid(x(p["W_xo"]) + nd.dot(H, p["W_ho"]) + p["b_o"])  # noqa: E741
    C_tilde = nd.tanh(x(p["W_xc"]) + nd.dot(H, p["W_hc"]) + p["b_c"])
    C = F * C + I * C_tilde
    return O * nd.tanh(C), C


CELLS: dict[str, Callable[[Project, State, Parameters], State]] = {"rnn": rnn, "gru": gru, "lstm": lstm}


def one_hot(indices: NDArray, vocab_size: int, dtype: str = "float32") -> Project:
    """X W for the one-hot rows X of shape (N, V) of `indices`, shape (N,): literally the product."""
    X = nd.one_hot(indices, vocab_size, dtype=dtype)
    return lambda W: nd.dot(X, W)


def gather(indices: NDArray) -> Project:
    """The same as `one_hot`, read off: row n of X W is row indices[n] of W."""
    return lambda W: nd.take(W, indices)


def dense(X: NDArray) -> Project:
    return lambda W: nd.dot(X, W)


def stack_step(config: ModelConfig, x: Project, state: State, parameters: Parameters) -> tuple[NDArray, State]:
    """One step through all layers: the top layer's output of shape (N, H), and the new state."""
    cell = CELLS[config.cell]
    per_layer = len(state) // config.num_layers
    new: list[NDArray] = []
    for layer in range(config.num_layers):
        prefix = config.prefix(layer)
        own = {name.removeprefix(prefix): value for name, value in parameters.items() if name.startswith(prefix)}
        new += cell(x, state[layer * per_layer : (layer + 1) * per_layer], own)
        x = dense(new[-per_layer])
    return new[-per_layer], tuple(new)


def output(H: NDArray, parameters: Parameters) -> NDArray:
    """Logits of the next character, Y = H W_hy + b_y: (N, H) ↦ (N, V)."""
    return nd.dot(H, parameters["W_hy"]) + parameters["b_y"]


def zero_state(config: ModelConfig, batch_size: int, ctx: Context, dtype: str = "float32") -> State:
    shape = (batch_size, config.hidden_dim)
    return tuple(nd.zeros(shape, ctx=ctx, dtype=dtype) for _ in config.state_names)
