"""The GRU layer over all T steps, forwards and backwards, for rows lo … hi − 1.

G (T, N, 3H), gates in the order z r h, holds X W_x + b on the way in and the gates' values after `forward`;
`backward` leaves the gradient with respect to that first sum. H (T + 1, N, H) are the states, H[0] the one before;
RH (T, N, H) is R ⊙ H. dH (T, N, H) is the gradient from above and is used up.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from model.training.bptt.activations import sigmoid, tanh
from model.training.bptt.tile import add_product
from model.training.compiled import compiled


@compiled
def forward(G: Any, H: Any, RH: Any, P_zr: Any, P_h: Any, lo: int, hi: int) -> None:
    """P_zr = pack of W_hz and W_hr side by side, (H, 2H); P_h = pack(W_hh)."""
    T, N, D = RH.shape
    g, h, reset = G.reshape(-1), H.reshape(-1), RH.reshape(-1)
    one = G.dtype.type(1)
    for t in range(T):
        at, gates = (t * N + lo) * D, (t * N + lo) * 3 * D
        add_product(h, at, D, P_zr, g, gates, 3 * D, hi - lo, 2 * D)
        for n in range(lo, hi):
            row, before, rh = G[t, n], H[t, n], RH[t, n]
            r = row[D : 2 * D]
            for j in range(2 * D):
                row[j] = sigmoid(row[j])
            for j in range(D):
                rh[j] = r[j] * before[j]
        add_product(reset, at, D, P_h, g, gates + 2 * D, 3 * D, hi - lo, D)
        for n in range(lo, hi):
            row, before, out = G[t, n], H[t, n], H[t + 1, n]
            z, c = row[:D], row[2 * D :]
            for j in range(D):
                c[j] = tanh(c[j])
                out[j] = z[j] * before[j] + (one - z[j]) * c[j]


@compiled
def backward(G: Any, H: Any, dH: Any, Q_zr: Any, Q_h: Any, lo: int, hi: int) -> None:
    """Q_zr, Q_h: packs of the transposed matrices, (2H, H) and (H, H)."""
    T, N, D = dH.shape
    g = G.reshape(-1)
    one = G.dtype.type(1)
    dRH = np.zeros((hi - lo, D), G.dtype)
    carried = np.zeros((hi - lo, D), G.dtype)  # the gradient that reaches the state before step t
    for t in range(T - 1, -1, -1):
        gates = (t * N + lo) * 3 * D
        for n in range(lo, hi):
            row, before, d, back = G[t, n], H[t, n], dH[t, n], carried[n - lo]
            z, c = row[:D], row[2 * D :]
            for j in range(D):
                whole = d[j] + back[j]
                back[j] = whole * z[j]
                slope = whole * (before[j] - c[j]) * z[j] * (one - z[j])
                c[j] = whole * (one - z[j]) * (one - c[j] * c[j])
                z[j] = slope
        dRH[:] = 0
        add_product(g, gates + 2 * D, 3 * D, Q_h, dRH.reshape(-1), 0, D, hi - lo, D)
        for n in range(lo, hi):
            row, before, inner, back = G[t, n], H[t, n], dRH[n - lo], carried[n - lo]
            r = row[D : 2 * D]
            for j in range(D):
                back[j] += inner[j] * r[j]
                r[j] = inner[j] * before[j] * r[j] * (one - r[j])
        add_product(g, gates, 3 * D, Q_zr, carried.reshape(-1), 0, D, hi - lo, D)
