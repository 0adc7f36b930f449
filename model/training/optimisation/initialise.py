"""How the parameters of a new model begin, by one of three methods."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from model.arrays import Float32s, Float64s
from model.config import ModelConfig


def initial_parameters(config: ModelConfig, rng: np.random.Generator, method: str = "normal") -> dict[str, Float32s]:
    """New parameters by one of INITIALISATIONS. The same generator state gives the same values."""
    weight = INITIALISATIONS[method]
    one_hot_read = {f"{config.prefix(0)}W_x{g}" for g in config.gates}
    parameters = {}
    for name, shape in config.parameter_shapes().items():
        if len(shape) == 1:
            values = np.ones(shape) if name.endswith("b_f") and method != "normal" else np.zeros(shape)
        else:
            values = weight(rng, shape, config.hidden_dim, name in one_hot_read)
        parameters[name] = values.astype(np.float32)
    return parameters


def _normal(rng: np.random.Generator, shape: tuple[int, ...], *_: object) -> Float64s:
    """N(0, 0.01²), as the chapter has it."""
    return rng.normal(0.0, 0.01, shape)


def _uniform(rng: np.random.Generator, shape: tuple[int, ...], hidden_dim: int, _: bool) -> Float64s:
    """U(−1/√H, 1/√H), with the LSTM's forget bias at 1 (Jozefowicz, Zaremba and Sutskever, 2015)."""
    bound = hidden_dim**-0.5
    return rng.uniform(-bound, bound, shape)


def _scaled(rng: np.random.Generator, shape: tuple[int, ...], hidden_dim: int, one_hot_read: bool) -> Float64s:
    """As `uniform`, but the rows that a character reads off W_x are N(0, 1/2²).

    A one-hot input picks one row where a dense one sums over all, so at 1/√H it would hardly be heard at first.
    """
    return rng.normal(0.0, 0.5, shape) if one_hot_read else _uniform(rng, shape, hidden_dim, one_hot_read)


# A generator, a shape, H, and whether the matrix is read by one-hot rows ↦ values.
Initialisation = Callable[[np.random.Generator, tuple[int, ...], int, bool], Float64s]
INITIALISATIONS: dict[str, Initialisation] = {
    "normal": _normal,
    "uniform": _uniform,
    "scaled": _scaled,
}
