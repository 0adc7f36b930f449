"""Which characters, units and recurrent weights a batch hides, so that the model cannot lean on any of them.

What is kept is scaled up, so that the expected input of the layer above stays what it is when nothing is hidden.
Probabilities are rounded to 1/256: a byte of randomness decides, which costs a tenth of what a float would.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from model.config import GATES
from model.kernels.contracted import compiled
from model.training.options import TrainingOptions

Mask = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Masks:
    """None hides nothing."""

    input: Mask | None = None  # (T, N), a factor for each character's row
    layers: tuple[Mask | None, ...] = ()  # (T, N, H) each, on the output of every layer but the top one
    output: Mask | None = None  # (T, N, H), on the top layer's output
    recurrent: tuple[Mask, ...] = ()  # (H, G·H) each, on a layer's recurrent weights, gates in the order of GATES


NO_MASKS = Masks()


def draw(rng: np.random.Generator, options: TrainingOptions, N: int, T: int) -> Masks:
    """Masks for one batch. Draws nothing from `rng` where nothing is hidden."""
    H = options.hidden_dim
    weights = (H, len(GATES[options.cell]) * H)
    return Masks(
        _draw(rng, options.dropout_input, (T, N)),
        tuple(_draw(rng, options.dropout_layers, (T, N, H)) for _ in range(options.num_layers - 1)),
        _draw(rng, options.dropout_output, (T, N, H)),
        tuple(
            m for _ in range(options.num_layers) if (m := _draw(rng, options.dropout_recurrent, weights)) is not None
        ),
    )


def _draw(rng: np.random.Generator, share: float, shape: tuple[int, ...]) -> Mask | None:
    kept = round((1 - share) * 256)  # of 256
    if kept == 256:
        return None
    size = int(np.prod(shape))
    mask = np.empty(size, np.float32)
    _keep(rng.bit_generator.random_raw(-(-size // 8)).view(np.uint8), kept, np.float32(256 / kept), mask)
    return mask.reshape(shape)


@compiled
def _keep(drawn: Any, kept: int, scale: Any, mask: Any) -> None:
    for i in range(len(mask)):
        mask[i] = scale if drawn[i] < kept else np.float32(0)
