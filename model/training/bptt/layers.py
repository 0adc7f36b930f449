"""One recurrent layer of each cell: its part of the flat vectors, its buffers, its products over all steps at once.

Letters as in model/cells.py; D is the width of a layer's input and G the number of its gates. Matrices of a layer lie
side by side by gate: W_x (D, G·H), W_h (H, G·H), b (G·H).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from model.training.bptt import gru, lstm, rnn
from model.training.bptt.team import Team
from model.training.bptt.tile import pack

Array = npt.NDArray[np.floating[Any]]


class Layer:
    """`forward` turns `G` = X W_x + b into outputs `H`; `backward` turns `dH` into `G` = the gradient of that sum."""

    num_gates = 0
    num_states = 1

    def __init__(self, N: int, T: int, hidden_dim: int, dtype: Any) -> None:
        self.G = np.zeros((T, N, self.num_gates * hidden_dim), dtype)
        self.H = np.zeros((T + 1, N, hidden_dim), dtype)
        self.dH = np.zeros((T, N, hidden_dim), dtype)

    def begin(self, state: tuple[Array, ...]) -> None:
        self.H[0] = state[0]

    def end(self) -> tuple[Array, ...]:
        return (self.H[-1].copy(),)

    def forward(self, W_h: Array, team: Team) -> None:
        raise NotImplementedError

    def backward(self, W_h: Array, dW_h: Array, team: Team) -> None:
        """Also fills dW_h with the gradient of W_h."""
        raise NotImplementedError

    def _flat(self, array: Array) -> Array:
        """(T, N, X) ↦ (T·N, X)"""
        return array.reshape(-1, array.shape[-1])


class Rnn(Layer):
    num_gates = 1

    def forward(self, W_h: Array, team: Team) -> None:
        P = pack(W_h)
        team.share(self.G.shape[1], lambda lo, hi: rnn.forward(self.G, self.H, P, lo, hi))

    def backward(self, W_h: Array, dW_h: Array, team: Team) -> None:
        Q = pack(W_h.T)
        team.share(self.G.shape[1], lambda lo, hi: rnn.backward(self.G, self.H, self.dH, Q, lo, hi))
        team.dot(self._flat(self.H[:-1]).T, self._flat(self.G), dW_h)


class Gru(Layer):
    num_gates = 3

    def __init__(self, N: int, T: int, hidden_dim: int, dtype: Any) -> None:
        super().__init__(N, T, hidden_dim, dtype)
        self.RH = np.zeros((T, N, hidden_dim), dtype)

    def forward(self, W_h: Array, team: Team) -> None:
        two = 2 * W_h.shape[0]
        P_zr, P_h = pack(W_h[:, :two]), pack(W_h[:, two:])
        team.share(self.G.shape[1], lambda lo, hi: gru.forward(self.G, self.H, self.RH, P_zr, P_h, lo, hi))

    def backward(self, W_h: Array, dW_h: Array, team: Team) -> None:
        H = W_h.shape[0]
        Q_zr, Q_h = pack(W_h[:, : 2 * H].T), pack(W_h[:, 2 * H :].T)
        team.share(self.G.shape[1], lambda lo, hi: gru.backward(self.G, self.H, self.dH, Q_zr, Q_h, lo, hi))
        dG = self._flat(self.G)
        for columns, inputs in ((slice(0, 2 * H), self.H[:-1]), (slice(2 * H, 3 * H), self.RH)):
            part = np.empty((H, columns.stop - columns.start), W_h.dtype)
            team.dot(self._flat(inputs).T, dG[:, columns], part)
            dW_h[:, columns] = part


class Lstm(Layer):
    num_gates = 4
    num_states = 2

    def __init__(self, N: int, T: int, hidden_dim: int, dtype: Any) -> None:
        super().__init__(N, T, hidden_dim, dtype)
        self.C = np.zeros((T + 1, N, hidden_dim), dtype)

    def begin(self, state: tuple[Array, ...]) -> None:
        self.H[0], self.C[0] = state

    def end(self) -> tuple[Array, ...]:
        return self.H[-1].copy(), self.C[-1].copy()

    def forward(self, W_h: Array, team: Team) -> None:
        P = pack(W_h)
        team.share(self.G.shape[1], lambda lo, hi: lstm.forward(self.G, self.H, self.C, P, lo, hi))

    def backward(self, W_h: Array, dW_h: Array, team: Team) -> None:
        Q = pack(W_h.T)
        team.share(self.G.shape[1], lambda lo, hi: lstm.backward(self.G, self.C, self.dH, Q, lo, hi))
        team.dot(self._flat(self.H[:-1]).T, self._flat(self.G), dW_h)


LAYERS: dict[str, type[Layer]] = {"rnn": Rnn, "gru": Gru, "lstm": Lstm}
