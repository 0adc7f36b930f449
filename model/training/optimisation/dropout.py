"""Which units and recurrent weights a batch hides, so that the model cannot lean on any of them.

What is kept is scaled up, so that the expected input of the layer above stays what it is when nothing is hidden.
Probabilities are rounded to 1/256: a byte of randomness decides, which costs a tenth of what a float would.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from model.arrays import Bytes, Float32s, Float32s2D, Float32s3D
from model.config import GATES
from model.kernels.contracted import contracted
from model.training.options import TrainingOptions


@dataclass(frozen=True)
class Masks:
    """None hides nothing."""

    layers: tuple[Float32s3D | None, ...] = ()  # (T, N, H) each, on the output of every layer but the top one
    output: Float32s3D | None = None  # (T, N, H), on the top layer's output
    recurrent: tuple[Float32s2D, ...] = ()  # (H, G·H) each, on a layer's recurrent weights, gates in the order of GATES


NO_MASKS = Masks()


def draw(rng: np.random.Generator, options: TrainingOptions, N: int, T: int) -> Masks:
    """Masks for one batch. Draws nothing from `rng` where nothing is hidden."""
    H = options.hidden_dim
    weights = (H, len(GATES[options.cell]) * H)
    return Masks(
        tuple(_draw(rng, options.dropout_layers, (T, N, H)) for _ in range(options.num_layers - 1)),
        _draw(rng, options.dropout_output, (T, N, H)),
        tuple(
            m for _ in range(options.num_layers) if (m := _draw(rng, options.dropout_recurrent, weights)) is not None
        ),
    )


def _draw(rng: np.random.Generator, share: float, shape: tuple[int, ...]) -> Float32s | None:
    kept = round((1 - share) * 256)  # of 256
    if kept == 256:
        return None
    size = int(np.prod(shape))
    mask = np.empty(size, np.float32)
    _keep(rng.bit_generator.random_raw(-(-size // 8)).view(np.uint8), kept, np.float32(256 / kept), mask)
    return mask.reshape(shape)


@contracted
def _keep(drawn: Bytes, kept: int, scale: np.float32, mask: Float32s) -> None:
    for i in range(len(mask)):
        mask[i] = scale if drawn[i] < kept else np.float32(0)
