"""`plain.choose_reference` for many rows at once, compiled.

A row costs about one pass over its logits. The threshold of top-k is found without sorting them: the maxima of LANES
interleaved lanes give a bound that at least k values reach, and only the few values that reach it are looked at again.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from model.arrays import Float32s, Float32s2D, Float64s, Int64s
from model.kernels.compiled import compiled
from model.sampling.random_stream import uniform

LANES = 128  # top_k up to this much is selected by lanes, more by sorting


@compiled
def choose(
    logits: Float32s2D,
    step: int,
    first: Int64s,
    temperature: Float64s,
    top_k: Int64s,
    top_p: Float64s,
    seed: Int64s,
    position: Int64s,
    chosen: Int64s,
) -> bool:
    """Fills chosen (N,) from logits (N, V) and the options of each row; all other arrays are (N,).

    A row whose first character to choose comes at a later step than this gets 0 and costs nothing. position is that of
    step 0 in the random stream. Returns whether all logits looked at were finite.
    """
    N, V = logits.shape
    values = np.empty(V, np.float32)
    indices = np.empty(V, np.int64)
    scratch = np.empty(max(V, LANES), np.float32)
    weights = np.empty(V, np.float64)
    for n in range(N):
        chosen[n] = 0
        if step < first[n]:
            continue
        row = logits[n]
        lanes, finite = _lane_maxima(row, scratch)
        if not finite:
            return False
        top = np.float32(-np.inf)
        for lane in range(lanes):
            top = max(top, scratch[lane])
        if temperature[n] == 0:
            while row[chosen[n]] != top:
                chosen[n] += 1
            continue
        k = min(top_k[n], V)
        if k < V:
            count = _top(row, k, lanes, values, indices, scratch)
        else:
            count = V
            for v in range(V):
                values[v] = row[v]
                indices[v] = v
        whole = 0.0
        for i in range(count):
            weights[i] = math.exp((float(values[i]) - float(top)) / temperature[n])
            whole += weights[i]
        if top_p[n] < 1:
            count = _nucleus(values, indices, weights, count, k < V, top_p[n], whole)
            whole = 0.0
            for i in range(count):
                whole += weights[i]
        target = uniform(seed[n], position[n] + step) * whole
        running = 0.0
        at = count - 1
        for i in range(count):
            running += weights[i]
            if running > target:
                at = i
                break
        chosen[n] = indices[at]
    return True


@compiled
def _lane_maxima(row: Float32s, scratch: Float32s) -> tuple[int, bool]:
    """The largest value of each lane, into scratch; how many lanes; whether all values are finite.

    Lane l holds the values l, l + LANES, … A short row is one lane per value.
    """
    V = len(row)
    lanes = min(V, LANES)
    spoiled = np.zeros(lanes, np.float32)  # 0 · x is 0 unless x is infinite or not a number, and then it stays
    scratch[:lanes] = row[:lanes]
    for start in range(0, V, lanes):
        block = row[start : start + lanes]
        for lane in range(len(block)):
            x, y = block[lane], scratch[lane]
            scratch[lane] = x if x > y else y
            spoiled[lane] += np.float32(0) * x
    return lanes, bool(spoiled.sum() == 0)


@compiled
def _top(row: Float32s, k: int, lanes: int, values: Float32s, indices: Int64s, scratch: Float32s) -> int:
    """The k largest of a row, equal ones by index, into values and indices in the order of indices. Returns k.

    scratch holds the maxima of the row's lanes: at least k values reach the kth largest of them.
    """
    V = len(row)
    bound = _kth_largest(scratch, lanes, k) if k <= lanes else np.float32(-np.inf)
    count = 0
    for v in range(V):
        if row[v] >= bound:
            values[count] = row[v]
            indices[count] = v
            count += 1
    for i in range(count):
        scratch[i] = values[i]
    threshold = _kth_largest(scratch, count, k)
    above = 0
    for i in range(count):
        if values[i] > threshold:
            above += 1
    equal = k - above  # of those at the threshold, the first so many
    kept = 0
    for i in range(count):
        take = values[i] > threshold
        if values[i] == threshold and equal > 0:
            take = True
            equal -= 1
        if take:
            values[kept] = values[i]
            indices[kept] = indices[i]
            kept += 1
    return kept


@compiled
def _kth_largest(a: Float32s, count: int, k: int) -> Any:
    """Hoare's selection over a[:count], which it puts in another order."""
    low, high, want = 0, count - 1, k - 1
    while low < high:
        pivot = a[(low + high) // 2]
        i, j = low, high
        while i <= j:
            while a[i] > pivot:
                i += 1
            while a[j] < pivot:
                j -= 1
            if i <= j:
                a[i], a[j] = a[j], a[i]
                i += 1
                j -= 1
        if want <= j:
            high = j
        elif want >= i:
            low = i
        else:
            break
    return a[want]


@compiled
def _nucleus(
    values: Float32s, indices: Int64s, weights: Float64s, count: int, ranked_sum: bool, top_p: float, whole: float
) -> int:
    """Keeps, in place and in the order of indices, the fewest likeliest that reach top_p. Returns how many."""
    order = np.argsort(-values[:count], kind="mergesort")
    if ranked_sum:
        whole = 0.0
        for i in range(count):
            whole += weights[order[i]]
    running = 0.0
    keep = np.zeros(count, np.bool_)
    for i in range(count):
        running += weights[order[i]]
        keep[order[i]] = True
        if running >= top_p * whole:
            break
    kept = 0
    for i in range(count):
        if keep[i]:
            values[kept], indices[kept], weights[kept] = values[i], indices[i], weights[i]
            kept += 1
    return kept
