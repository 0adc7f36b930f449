"""The LSTM layer over all T steps, forwards and backwards, for rows lo … hi − 1.

G (T, N, 4H), gates in the order i f o c, holds X W_x + b on the way in and the gates' values after `forward`;
`backward` leaves the gradient with respect to that first sum. H and C (T + 1, N, H) are the states, [0] those before.
dH (T, N, H) is the gradient from above and is used up. rH, rG and pG are H and G as the products read them.
"""

from __future__ import annotations

import numpy as np

from model.arrays import Reals3D, Words, Words3D
from model.kernels.activations import sigmoid, tanh
from model.kernels.contracted import contracted
from model.kernels.packing import put_packed, put_words
from model.kernels.tile import add_product
from model.training.backends.cpu.rows import Inputs, fill


@contracted
def forward(inputs: Inputs, G: Reals3D, H: Reals3D, C: Reals3D, rH: Words3D, P: Words, lo: int, hi: int) -> None:
    """P = pack(W_h), W_h of shape (H, 4H)."""
    T, N, D, wide = H.shape[0] - 1, H.shape[1], H.shape[2], rH.shape[2]
    g, h = G.reshape(-1), rH.reshape(-1)
    for t in range(T):
        fill(inputs, t, G, lo, hi)
        for n in range(lo, hi):
            put_words(H[t, n], rH[t, n])
        add_product(h, (t * N + lo) * wide, wide, 1, P, g, (t * N + lo) * 4 * D, 4 * D, hi - lo, 4 * D)
        for n in range(lo, hi):
            row, before, after, out = G[t, n], C[t, n], C[t + 1, n], H[t + 1, n]
            i, f, o, c = row[:D], row[D : 2 * D], row[2 * D : 3 * D], row[3 * D :]
            for j in range(3 * D):
                row[j] = sigmoid(row[j])
            for j in range(D):
                c[j] = tanh(c[j])
                after[j] = f[j] * before[j] + i[j] * c[j]
                out[j] = o[j] * tanh(after[j])


@contracted
def backward(G: Reals3D, C: Reals3D, dH: Reals3D, rG: Words3D, pG: Words, Q: Words, lo: int, hi: int) -> None:
    """Q = pack(W_hᵀ), W_hᵀ of shape (4H, H)."""
    T, N, D = dH.shape
    wide = rG.shape[2]
    g, d = rG.reshape(-1), dH.reshape(-1)
    one = G.dtype.type(1)
    dC = np.zeros((hi - lo, D), G.dtype)
    for t in range(T - 1, -1, -1):
        if t < T - 1:
            add_product(g, ((t + 1) * N + lo) * wide, wide, 1, Q, d, (t * N + lo) * D, D, hi - lo, D)
        for n in range(lo, hi):
            row, before, after = G[t, n], C[t, n], C[t + 1, n]
            i, f, o, c = row[:D], row[D : 2 * D], row[2 * D : 3 * D], row[3 * D :]
            dh, dc = dH[t, n], dC[n - lo]
            for j in range(D):
                bent = tanh(after[j])
                inner = dc[j] + dh[j] * o[j] * (one - bent * bent)
                dc[j] = inner * f[j]
                o[j] = dh[j] * bent * o[j] * (one - o[j])
                f[j] = inner * before[j] * f[j] * (one - f[j])
                kept = i[j]
                i[j] = inner * c[j] * kept * (one - kept)
                c[j] = inner * kept * (one - c[j] * c[j])
            put_words(G[t, n], rG[t, n])
        put_packed(G, t, lo, hi, pG)
