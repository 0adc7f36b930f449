"""Which characters and units a batch hides from the layer above, so that the model cannot lean on any of them.

What is kept is scaled up, so that the expected input of the layer above stays what it is when nothing is hidden.
Probabilities are rounded to 1/256: a byte of randomness decides, which costs a tenth of what a float would.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from model.training.options import TrainingOptions

Mask = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Masks:
    """None hides nothing."""

    input: Mask | None = None  # (T, N), a factor for each character's row
    layers: tuple[Mask | None, ...] = ()  # (T, N, H) each, on the output of every layer but the top one
    output: Mask | None = None  # (T, N, H), on the top layer's output


NO_MASKS = Masks()


def draw(rng: np.random.Generator, options: TrainingOptions, N: int, T: int) -> Masks:
    """Masks for one batch. Draws nothing from `rng` where nothing is hidden."""
    H = options.hidden_dim
    return Masks(
        _draw(rng, options.dropout_input, (T, N)),
        tuple(_draw(rng, options.dropout_layers, (T, N, H)) for _ in range(options.num_layers - 1)),
        _draw(rng, options.dropout_output, (T, N, H)),
    )


def _draw(rng: np.random.Generator, share: float, shape: tuple[int, ...]) -> Mask | None:
    kept = round((1 - share) * 256)  # of 256
    if kept == 256:
        return None
    values = np.zeros(256, np.float32)
    values[:kept] = 256 / kept
    return values[np.frombuffer(rng.bytes(int(np.prod(shape))), np.uint8)].reshape(shape)
