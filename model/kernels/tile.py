"""The block of a matrix product that is kept in registers, at the speed of the processor's multiply-adds.

The right factor is packed into tiles (`packing`), and a block of 4 rows × one tile is accumulated in registers, k by k
in order. Neither NumPy nor Numba's own loops can say "in registers", so the block is written in LLVM's vocabulary;
the processor decides only how wide a vector is. The left factor is read where it lies, by two strides.

Factors are floats, or pairs of bfloat16, which are multiplied and summed in float32. Measured on one core of an AVX-512
machine, 32 × 256 by 256 × 1024: 113 GFLOP/s in float32 (OpenBLAS 71), 223 in bfloat16. Knows nothing of networks.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba.core import cgutils, types

from model.arrays import Reals, Words
from model.kernels.contracted import contracted, intrinsic
from model.kernels.packing import VECTOR_BYTES, VECTORS, padded, tile_width

ROWS = 4
DEPTH = 256  # rows of a wide tile that are used for all rows of the left factor while they are in a near cache


@contracted
def add_product(A: Words, a: int, a_row: int, a_k: int, P: Words, C: Reals, c: int, c_row: int, N: int, M: int) -> None:
    """`C[n, m] += Σ_k A[n, k] W[k, m]` for n < N, m < M, with P = pack(W).

    A and C are flat: A[n, k] lies at a + n a_row + k a_k, in words, and C[n, m] at c + n c_row + m.
    """
    lanes = VECTOR_BYTES // P.itemsize
    K = len(P) // padded(M, lanes)
    first = 0
    while first < M:
        width = tile_width(M - first, lanes)
        add_tile(A, a, a_row, a_k, P, first * K, C, c + first, c_row, N, K, width, min(width, M - first), False)
        first += width


@contracted
def add_tile(
    A: Words, a: int, a_row: int, a_k: int, P: Words, p: int, C: Reals, c: int, c_row: int, N: int, K: int, width: int,
    count: int, fresh: bool,
) -> None:  # fmt: skip
    """The part of `add_product` that one tile of `width` columns makes; only the first `count` stand in C.

    What C holds counts as zero where `fresh`.
    """
    # Where C is narrower than the tile, a few rows at a time go through rows that are as wide.
    whole = count == width
    rows = np.zeros(1 if whole else ROWS * width, C.dtype)
    step = N if whole else ROWS
    for n in range(0, N, step):
        left = min(step, N - n)
        if not whole:
            _copy(C, c + n * c_row, c_row, rows, 0, width, left, count)
        to, at, to_row = (C, c, c_row) if whole else (rows, 0, width)
        _add_whole_tile(A, a + n * a_row, a_row, a_k, P, p, to, at, to_row, left, K, width, fresh)
        if not whole:
            _copy(rows, 0, width, C, c + n * c_row, c_row, left, count)


@contracted
def _copy(source: Reals, a: int, a_row: int, target: Reals, b: int, b_row: int, N: int, M: int) -> None:
    for n in range(N):
        given, out = source[a + n * a_row : a + n * a_row + M], target[b + n * b_row : b + n * b_row + M]
        for j in range(M):
            out[j] = given[j]


@contracted
def _add_whole_tile(
    A: Words, a: int, a_row: int, a_k: int, P: Words, p: int, C: Reals, c: int, c_row: int, N: int, K: int, width: int,
    fresh: bool,
) -> None:  # fmt: skip
    whole = N - N % ROWS
    narrow = width * P.itemsize == VECTOR_BYTES
    for k in range(0, K, DEPTH):
        depth, b, from_a = min(DEPTH, K - k), p + k * width, a + k * a_k
        new = 1 if fresh and k == 0 else 0
        if narrow:
            for n in range(0, whole, ROWS):
                _narrow4(A, from_a + n * a_row, a_row, a_k, P, b, C, c + n * c_row, c_row, depth, new)
            for n in range(whole, N):
                _narrow1(A, from_a + n * a_row, a_row, a_k, P, b, C, c + n * c_row, c_row, depth, new)
        else:
            for n in range(0, whole, ROWS):
                _wide4(A, from_a + n * a_row, a_row, a_k, P, b, C, c + n * c_row, c_row, depth, new)
            for n in range(whole, N):
                _wide1(A, from_a + n * a_row, a_row, a_k, P, b, C, c + n * c_row, c_row, depth, new)


def _block(rows: int, vectors: int) -> Any:
    """An intrinsic that adds A (rows, K) times one packed tile to a block of C, or to zero, k by k in order."""

    def typed(
        _typing: Any, A: Any, a: Any, a_row: Any, a_k: Any, P: Any, p: Any, C: Any, c: Any, c_row: Any, K: Any,
        fresh: Any,
    ) -> Any:  # fmt: skip
        whole = types.int64
        signature = types.void(A, whole, whole, whole, P, whole, C, whole, whole, whole, whole)
        real = ir.DoubleType() if C.dtype == types.float64 else ir.FloatType()
        word = ir.IntType(32) if P.dtype == types.int32 else real
        lanes = VECTOR_BYTES // (C.dtype.bitwidth // 8)

        def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            at_A, at_P, at_C = (
                builder.bitcast(context.make_array(t)(context, builder, v).data, kind.as_pointer())
                for t, v, kind in ((A, args[0], word), (P, args[4], word), (C, args[6], real))
            )
            _, a, a_row, a_k, _, p, _, c, c_row, K, fresh = args
            fresh = builder.icmp_signed("!=", fresh, ir.Constant(fresh.type, 0))
            _accumulate(
                builder, (real, word), (rows, vectors, lanes), (at_A, a, a_row, a_k), (at_P, p),
                (at_C, c, c_row, fresh), K,
            )  # fmt: skip
            return context.get_dummy_value()

        return signature, generate

    return intrinsic(typed)


def _multiply_add(builder: Any, real: Any, word: Any, lanes: int) -> Any:
    """(factors, tile row, sums) ↦ sums + factors ⊙ tile row, once rounded; for pairs, both products are added."""
    sums, factors = ir.VectorType(real, lanes), ir.VectorType(word, lanes)
    if word == real:
        name = f"llvm.fma.v{lanes}f{32 if isinstance(real, ir.FloatType) else 64}"
        fma = cgutils.get_or_insert_function(builder.module, ir.FunctionType(sums, [sums] * 3), name)
        return lambda x, y, z: builder.call(fma, [x, y, z])
    kind = ir.FunctionType(sums, [sums, factors, factors])
    dot = cgutils.get_or_insert_function(builder.module, kind, "llvm.x86.avx512bf16.dpbf16ps.512")
    return lambda x, y, z: builder.call(dot, [z, x, y])


def _accumulate(builder: Any, kinds: Any, shape: Any, A: Any, P: Any, C: Any, K: Any) -> None:
    (real, word), (rows, vectors, lanes) = kinds, shape
    vector, factors_kind, whole = ir.VectorType(real, lanes), ir.VectorType(word, lanes), ir.IntType(64)
    multiply_add = _multiply_add(builder, real, word, lanes)
    align = 8 if isinstance(real, ir.DoubleType) else 4

    def number(value: int) -> Any:
        return ir.Constant(whole, value)

    def place(base: Any, *offsets: Any) -> Any:
        for offset in offsets:
            base = builder.gep(base, [offset])
        return base

    def as_vector(pointer: Any, kind: Any) -> Any:
        return builder.bitcast(pointer, kind.as_pointer())

    blocks = [(r, v) for r in range(rows) for v in range(vectors)]
    to = {
        (r, v): as_vector(place(C[0], C[1], builder.mul(number(r), C[2]), number(v * lanes)), vector) for r, v in blocks
    }
    zero = ir.Constant(vector, None)
    start = {rv: builder.select(C[3], zero, builder.load(to[rv], align=align)) for rv in blocks}
    before, loop, after = builder.block, builder.append_basic_block("k"), builder.append_basic_block("stored")
    builder.branch(loop)

    builder.position_at_end(loop)
    k = builder.phi(whole)
    k.add_incoming(number(0), before)
    sums = {rv: builder.phi(vector) for rv in blocks}
    tile_row = place(P[0], P[1], builder.mul(k, number(vectors * lanes)))
    columns = [
        builder.load(as_vector(place(tile_row, number(v * lanes)), factors_kind), align=align) for v in range(vectors)
    ]
    everywhere = ir.Constant(ir.VectorType(ir.IntType(32), lanes), [0] * lanes)
    undefined = ir.Constant(factors_kind, ir.Undefined)
    grown = {}
    for r in range(rows):
        at = place(A[0], A[1], builder.mul(number(r), A[2]), builder.mul(k, A[3]))
        first = builder.insert_element(undefined, builder.load(at, align=align), ir.Constant(ir.IntType(32), 0))
        factors = builder.shuffle_vector(first, undefined, everywhere)
        for v in range(vectors):
            grown[r, v] = multiply_add(factors, columns[v], sums[r, v])
    following = builder.add(k, number(1))
    k.add_incoming(following, loop)
    for rv in blocks:
        sums[rv].add_incoming(start[rv], before)
        sums[rv].add_incoming(grown[rv], loop)
    builder.cbranch(builder.icmp_signed("<", following, K), loop, after)

    builder.position_at_end(after)
    for rv in blocks:
        builder.store(grown[rv], to[rv], align=align)


_wide4, _wide1 = _block(ROWS, VECTORS), _block(1, VECTORS)
_narrow4, _narrow1 = _block(ROWS, 1), _block(1, 1)
