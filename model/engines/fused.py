"""The stored parameters, joined into fewer and larger products. The arithmetic per number stays the same.

Gates of a layer stand side by side: W_x (D, G·S), W_h (S, G·S), b (G·S,), in the order of `ModelConfig.gates`. The
GRU's candidate needs R ⊙ H before its product, so its W_hh stays apart: W_h holds z and r, W_hh (S, S) the candidate.

S is H rounded up to a multiple of `multiple`. The added units have weights 0 and so stay at 0 in every cell: tanh 0 is
0, and so is the convex combination of 0 and 0. They make every array a whole number of vector registers; without them
a row's last numbers would go through a kernel's body or its tail depending on where in the batch the row stands.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from model.arrays import Float32s, Float32s2D, Float64s
from model.config import ModelConfig
from model.errors import CheckpointError


def refuse_overflow(config: ModelConfig, parameters: Mapping[str, Float32s]) -> None:
    """Raises CheckpointError where finite parameters could still give sums that are not.

    Every output of a cell lies in [−1, 1], so `|b| + Σ|W|` over a column bounds every sum that column can ever give. A
    model that passes cannot produce an infinity or a NaN, and no step needs to look for one.
    """
    bounds: dict[str, Float64s] = {}
    for name, array in parameters.items():
        magnitude = np.abs(array.astype(np.float64))
        prefix, _, rest = name.rpartition(".")
        column = f"{prefix}.{rest[-1]}"  # W_xi, W_hi and b_i add up in one sum; so do W_hy and b_y
        bounds[column] = bounds.get(column, 0.0) + (magnitude.sum(axis=0) if magnitude.ndim == 2 else magnitude)
    for column, bound in bounds.items():
        if bound.max() > np.finfo(np.float32).max:
            raise CheckpointError(
                f"the weights of {column.strip('.')} are so large that a sum can overflow float32 "
                f"(up to {bound.max():.3g}); this model cannot be run"
            )
    assert config.vocab_size == len(parameters["b_y"])


@dataclass(frozen=True)
class FusedLayer:
    """Shapes above. For the bottom layer D = V and b is already in every row of W_x, so b is None there."""

    W_x: Float32s2D
    W_h: Float32s2D
    b: Float32s | None
    W_hh: Float32s2D | None


@dataclass(frozen=True)
class Fused:
    """All layers, and the output layer: W_hy (S, V), b_y (V,)."""

    layers: tuple[FusedLayer, ...]
    W_hy: Float32s2D
    b_y: Float32s
    state_dim: int


def fuse(config: ModelConfig, parameters: Mapping[str, Float32s], multiple: int = 1) -> Fused:
    H = config.hidden_dim
    S = -(-H // multiple) * multiple
    layers = []
    for layer in range(config.num_layers):
        prefix = config.prefix(layer)
        rows = config.vocab_size if layer == 0 else S
        recurrent = config.gates[:2] if config.cell == "gru" else config.gates
        W_x = _side_by_side([parameters[f"{prefix}W_x{g}"] for g in config.gates], rows, S)
        W_h = _side_by_side([parameters[f"{prefix}W_h{g}"] for g in recurrent], S, S)
        b = _side_by_side([parameters[f"{prefix}b_{g}"][None] for g in config.gates], 1, S)[0]
        W_hh = _side_by_side([parameters[f"{prefix}W_hh"]], S, S) if config.cell == "gru" else None
        layers.append(FusedLayer(W_x + b, W_h, None, W_hh) if layer == 0 else FusedLayer(W_x, W_h, b, W_hh))
    W_hy = _side_by_side([parameters["W_hy"]], S, config.vocab_size)
    return Fused(tuple(layers), W_hy, parameters["b_y"], S)


def _side_by_side(arrays: list[Float32s2D], rows: int, columns: int) -> Float32s2D:
    """Each array filled up with zeros to (rows, columns), then joined along the columns."""
    filled: list[Float32s2D] = []
    for array in arrays:
        block = np.zeros((rows, columns), np.float32)
        block[: array.shape[0], : array.shape[1]] = array
        filled.append(block)
    return np.ascontiguousarray(np.concatenate(filled, axis=1))
