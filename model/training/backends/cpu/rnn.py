"""The tanh layer over all T steps, forwards and backwards, for rows lo … hi − 1.

G (T, N, H) holds X W_xh + b_h on the way in; backwards it ends as the gradient with respect to just that sum.
H (T + 1, N, H) are the outputs, H[0] the state before. dH (T, N, H) is the gradient from above and is used up.
rH, rG and pG are H and G as the products read them.
"""

from __future__ import annotations

from model.arrays import Reals3D, Words, Words3D
from model.kernels.activations import tanh
from model.kernels.contracted import contracted
from model.kernels.packing import put_packed, put_words
from model.kernels.tile import add_product
from model.training.backends.cpu.rows import Inputs, fill


@contracted
def forward(inputs: Inputs, G: Reals3D, H: Reals3D, rH: Words3D, P: Words, lo: int, hi: int) -> None:
    """P = pack(W_hh)."""
    T, N, D = G.shape
    wide = rH.shape[2]
    g, h = G.reshape(-1), rH.reshape(-1)
    for t in range(T):
        fill(inputs, t, G, lo, hi)
        for n in range(lo, hi):
            put_words(H[t, n], rH[t, n])
        add_product(h, (t * N + lo) * wide, wide, 1, P, g, (t * N + lo) * D, D, hi - lo, D)
        for n in range(lo, hi):
            row, out = G[t, n], H[t + 1, n]
            for j in range(D):
                out[j] = tanh(row[j])


@contracted
def backward(G: Reals3D, H: Reals3D, dH: Reals3D, rG: Words3D, pG: Words, Q: Words, lo: int, hi: int) -> None:
    """Q = pack(W_hhᵀ)."""
    T, N, D = G.shape
    wide = rG.shape[2]
    g, d = rG.reshape(-1), dH.reshape(-1)
    one = G.dtype.type(1)
    for t in range(T - 1, -1, -1):
        if t < T - 1:
            add_product(g, ((t + 1) * N + lo) * wide, wide, 1, Q, d, (t * N + lo) * D, D, hi - lo, D)
        for n in range(lo, hi):
            row, back, out = G[t, n], dH[t, n], H[t + 1, n]
            for j in range(D):
                row[j] = back[j] * (one - out[j] * out[j])
            put_words(row, rG[t, n])
        put_packed(G, t, lo, hi, pG)
