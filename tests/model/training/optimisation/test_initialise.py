from __future__ import annotations

import numpy as np
import pytest

from model.config import GATES, ModelConfig
from model.training.optimisation.initialise import INITIALISATIONS, initial_parameters


@pytest.mark.parametrize("method", INITIALISATIONS)
def test_initial_parameters_depend_on_the_seed_alone_and_have_the_methods_spread(method: str) -> None:
    config = ModelConfig("lstm", 1, 64, 300)
    first, again, other = (initial_parameters(config, np.random.default_rng(s), method) for s in (0, 0, 1))
    assert all((first[name] == again[name]).all() for name in first)
    assert (first["W_hi"] != other["W_hi"]).any()
    uniform = 64**-0.5 / 3**0.5  # standard deviation of U(−a, a) is a/√3
    spreads = {"normal": (0.01, 0.01), "uniform": (uniform, uniform), "scaled": (0.5, uniform)}
    for name, spread in zip(("W_xi", "W_hi"), spreads[method], strict=True):
        assert first[name].std() == pytest.approx(spread, rel=0.03)
    assert (first["b_f"] == (0 if method == "normal" else 1)).all()
    assert (first["b_i"] == 0).all()


@pytest.mark.parametrize("vocab_size", [192, 191])
@pytest.mark.parametrize("layers", [1, 3])
@pytest.mark.parametrize("cell", GATES)
@pytest.mark.parametrize("method", INITIALISATIONS)
def test_every_parameter_has_its_spread_where_there_are_as_many_characters_as_units(
    method: str, cell: str, layers: int, vocab_size: int
) -> None:
    H = 192
    config = ModelConfig(cell, layers, H, vocab_size)
    for name, array in initial_parameters(config, np.random.default_rng(0), method).items():
        layer, _, own = name.rpartition(".")
        if own.startswith("b_"):
            assert (array == (1 if own == "b_f" and method != "normal" else 0)).all(), name
            continue
        spread = 0.01 if method == "normal" else H**-0.5 / 3**0.5
        if method == "scaled" and own.startswith("W_x") and layer in ("", "layer0"):
            spread = 0.5
        assert array.std() == pytest.approx(spread, rel=0.03), name
        assert abs(array.mean()) < 4 * spread / array.size**0.5, name
