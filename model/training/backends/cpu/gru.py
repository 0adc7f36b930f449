"""The GRU layer over all T steps, forwards and backwards, for rows lo … hi − 1.

G (T, N, 3H), gates in the order z r h, holds X W_x + b on the way in and the gates' values after `forward`;
`backward` leaves the gradient with respect to that first sum. H (T + 1, N, H) are the states, H[0] the one before;
RH (T, N, H) is R ⊙ H. dH (T, N, H) is the gradient from above and is used up. rH and rRH are what the products read
in place of H and RH.
"""

from __future__ import annotations

import numpy as np

from model.arrays import Reals2D, Reals3D, Words, Words2D, Words3D
from model.kernels.activations import sigmoid, tanh
from model.kernels.contracted import contracted
from model.kernels.packing import copy_words, put_packed, put_words
from model.kernels.tile import add_product
from model.training.backends.cpu.rows import Inputs, fill


@contracted
def forward(
    inputs: Inputs,
    G: Reals3D,
    H: Reals3D,
    RH: Reals3D,
    rH: Words3D,
    rRH: Words3D,
    P_zr: Words,
    P_h: Words,
    lo: int,
    hi: int,
) -> None:
    """P_zr = pack of W_hz and W_hr side by side, (H, 2H); P_h = pack(W_hh)."""
    T, N, D = RH.shape
    wide = rH.shape[2]
    g, h, reset = G.reshape(-1), rH.reshape(-1), rRH.reshape(-1)
    one = G.dtype.type(1)
    for t in range(T):
        fill(inputs, t, G, lo, hi)
        at, gates = (t * N + lo) * wide, (t * N + lo) * 3 * D
        for n in range(lo, hi):
            put_words(H[t, n], rH[t, n])
        add_product(h, at, wide, 1, P_zr, g, gates, 3 * D, hi - lo, 2 * D)
        for n in range(lo, hi):
            row, before, rh = G[t, n], H[t, n], RH[t, n]
            r = row[D : 2 * D]
            for j in range(2 * D):
                row[j] = sigmoid(row[j])
            for j in range(D):
                rh[j] = r[j] * before[j]
            put_words(rh, rRH[t, n])
        add_product(reset, at, wide, 1, P_h, g, gates + 2 * D, 3 * D, hi - lo, D)
        for n in range(lo, hi):
            row, before, out = G[t, n], H[t, n], H[t + 1, n]
            z, c = row[:D], row[2 * D :]
            for j in range(D):
                c[j] = tanh(c[j])
                out[j] = z[j] * before[j] + (one - z[j]) * c[j]


@contracted
def backward(
    G: Reals3D,
    H: Reals3D,
    dH: Reals3D,
    dRH: Reals2D,
    rZR: Words2D,
    rC: Words2D,
    pG: Words,
    Q_zr: Words,
    Q_h: Words,
    lo: int,
    hi: int,
) -> None:
    """Q_zr, Q_h: packs of the transposed matrices, (2H, H) and (H, H).

    dRH (N, H), rZR (N, words of 2H) and rC (N, words of H) are room for what a step's products write and read; pG is
    G as the products over all steps read it.
    """
    T, _, D = dH.shape
    back, zr, c_only = dRH.reshape(-1), rZR.reshape(-1), rC.reshape(-1)
    zr_wide, c_wide = rZR.shape[1], rC.shape[1]
    one = G.dtype.type(1)
    carried = np.zeros((hi - lo, D), G.dtype)  # the gradient that reaches the state before step t
    for t in range(T - 1, -1, -1):
        for n in range(lo, hi):
            row, before, d, through = G[t, n], H[t, n], dH[t, n], carried[n - lo]
            z, c = row[:D], row[2 * D :]
            for j in range(D):
                whole = d[j] + through[j]
                through[j] = whole * z[j]
                slope = whole * (before[j] - c[j]) * z[j] * (one - z[j])
                c[j] = whole * (one - z[j]) * (one - c[j] * c[j])
                z[j] = slope
            copy_words(c, rC[n])
        dRH[lo:hi] = 0
        add_product(c_only, lo * c_wide, c_wide, 1, Q_h, back, lo * D, D, hi - lo, D)
        for n in range(lo, hi):
            row, before, inner, through = G[t, n], H[t, n], dRH[n], carried[n - lo]
            r = row[D : 2 * D]
            for j in range(D):
                through[j] += inner[j] * r[j]
                r[j] = inner[j] * before[j] * r[j] * (one - r[j])
            copy_words(row[: 2 * D], rZR[n])
        add_product(zr, lo * zr_wide, zr_wide, 1, Q_zr, carried.reshape(-1), 0, D, hi - lo, D)
        put_packed(G, t, lo, hi, pG)
