"""One recurrent layer of each cell: its part of the flat vectors, its buffers, its products over all steps at once.

Letters as in `reference.cells`; D is the width of a layer's input and G the number of its gates. Matrices of a layer
lie side by side by gate: W_x (D, G·H), W_h (H, G·H), b (G·H). A name with an r in front is what products read in
place of the array: the same memory, or its rounded copy (bfloat16); one with a p is a rounded copy packed as a right
factor.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from model.arrays import Reals2D, Reals3D, RealState, RealType
from model.kernels.products import Products
from model.training.backends.cpu import gru, lstm, rnn
from model.training.backends.cpu.rows import Inputs


class Layer:
    """`forward` turns `G` = X W_x + b, which `inputs` may fill, into outputs `H`.

    `backward` turns `dH` into `G` = the gradient of that sum.
    """

    num_gates = 0
    num_states = 1

    def __init__(self, N: int, T: int, hidden_dim: int, dtype: RealType, products: Products) -> None:
        self._products, self._team = products, products.team
        self.G = np.zeros((T, N, self.num_gates * hidden_dim), dtype)
        self.H = np.zeros((T + 1, N, hidden_dim), dtype)
        self.dH = np.zeros((T, N, hidden_dim), dtype)
        self.masked = np.zeros((T, N, hidden_dim), dtype)  # room for the outputs that dropout leaves
        self.rG, self.rH = products.read_as(self.G), products.read_as(self.H)
        self.pG = products.packed(T, N, self.num_gates * hidden_dim)

    def begin(self, state: RealState) -> None:
        self.H[0] = state[0]

    def end(self) -> RealState:
        return (self.H[-1].copy(),)

    def forward(self, inputs: Inputs, W_h: Reals2D) -> None:
        raise NotImplementedError

    def backward(self, W_h: Reals2D, dW_h: Reals2D) -> None:
        """Also fills dW_h with the gradient of W_h."""
        raise NotImplementedError

    def _rows(self, work: Any, *arrays: Any) -> None:
        """Calls work(*arrays, lo, hi) for shares of the N rows."""
        self._team.share(self.G.shape[1], lambda lo, hi: work(*arrays, lo, hi))

    def _flat(self, array: Reals3D) -> Reals2D:
        """(T, N, X) ↦ (T·N, X)"""
        return array.reshape(-1, array.shape[-1])


class Rnn(Layer):
    num_gates = 1

    def forward(self, inputs: Inputs, W_h: Reals2D) -> None:
        self._rows(rnn.forward, inputs, self.G, self.H, self.rH, self._products.pack(W_h))

    def backward(self, W_h: Reals2D, dW_h: Reals2D) -> None:
        self._rows(rnn.backward, self.G, self.H, self.dH, self.rG, self.pG, self._products.pack(W_h.T))
        self._products.correlate(self.H[:-1], self.pG, dW_h)


class Gru(Layer):
    num_gates = 3

    def __init__(self, N: int, T: int, hidden_dim: int, dtype: RealType, products: Products) -> None:
        super().__init__(N, T, hidden_dim, dtype, products)
        # The gates' gradients are read in two parts, so each has a place of its own.
        self.RH, self.dRH = np.zeros((T, N, hidden_dim), dtype), np.zeros((N, hidden_dim), dtype)
        self.rRH = products.read_as(self.RH)
        self.rZR = products.room(N, 2 * hidden_dim)
        self.rC = products.room(N, hidden_dim)

    def forward(self, inputs: Inputs, W_h: Reals2D) -> None:
        two = 2 * W_h.shape[0]
        P_zr, P_h = self._products.pack(W_h[:, :two]), self._products.pack(W_h[:, two:])
        self._rows(gru.forward, inputs, self.G, self.H, self.RH, self.rH, self.rRH, P_zr, P_h)

    def backward(self, W_h: Reals2D, dW_h: Reals2D) -> None:
        H = W_h.shape[0]
        Q_zr, Q_h = self._products.pack(W_h[:, : 2 * H].T), self._products.pack(W_h[:, 2 * H :].T)
        self._rows(gru.backward, self.G, self.H, self.dH, self.dRH, self.rZR, self.rC, self.pG, Q_zr, Q_h)
        for columns, inputs in ((slice(0, 2 * H), self.H[:-1]), (slice(2 * H, 3 * H), self.RH)):
            self._products.dot(self._flat(inputs).T, self._flat(self.G)[:, columns], dW_h[:, columns])


class Lstm(Layer):
    num_gates = 4
    num_states = 2

    def __init__(self, N: int, T: int, hidden_dim: int, dtype: RealType, products: Products) -> None:
        super().__init__(N, T, hidden_dim, dtype, products)
        self.C = np.zeros((T + 1, N, hidden_dim), dtype)

    def begin(self, state: RealState) -> None:
        self.H[0], self.C[0] = state

    def end(self) -> RealState:
        return self.H[-1].copy(), self.C[-1].copy()

    def forward(self, inputs: Inputs, W_h: Reals2D) -> None:
        self._rows(lstm.forward, inputs, self.G, self.H, self.C, self.rH, self._products.pack(W_h))

    def backward(self, W_h: Reals2D, dW_h: Reals2D) -> None:
        self._rows(lstm.backward, self.G, self.C, self.dH, self.rG, self.pG, self._products.pack(W_h.T))
        self._products.correlate(self.H[:-1], self.pG, dW_h)


LAYERS: dict[str, type[Layer]] = {"rnn": Rnn, "gru": Gru, "lstm": Lstm}
