"""The tanh layer over all T steps, forwards and backwards, for rows lo … hi − 1.

G (T, N, H) holds X W_xh + b_h on the way in; backwards it ends as the gradient with respect to just that sum.
H (T + 1, N, H) are the outputs, H[0] the state before. dH (T, N, H) is the gradient from above and is used up.
"""

from __future__ import annotations

from typing import Any

from model.training.bptt.activations import tanh
from model.training.bptt.tile import add_product
from model.training.compiled import compiled


@compiled
def forward(G: Any, H: Any, P: Any, lo: int, hi: int) -> None:
    """P = pack(W_hh)."""
    T, N, D = G.shape
    g, h = G.reshape(-1), H.reshape(-1)
    for t in range(T):
        at, to = (t * N + lo) * D, ((t + 1) * N + lo) * D
        add_product(h, at, D, P, g, at, D, hi - lo, D)
        for i in range((hi - lo) * D):
            h[to + i] = tanh(g[at + i])


@compiled
def backward(G: Any, H: Any, dH: Any, Q: Any, lo: int, hi: int) -> None:
    """Q = pack(W_hhᵀ)."""
    T, N, D = G.shape
    g, h, d = G.reshape(-1), H.reshape(-1), dH.reshape(-1)
    one = G.dtype.type(1)
    for t in range(T - 1, -1, -1):
        at, to = (t * N + lo) * D, ((t + 1) * N + lo) * D
        if t < T - 1:
            add_product(g, to, D, Q, d, at, D, hi - lo, D)
        for i in range((hi - lo) * D):
            g[at + i] = d[at + i] * (one - h[to + i] * h[to + i])
