from __future__ import annotations

import numpy as np
import pytest

from model.engines.fused import fuse
from tests.models import tiny_checkpoint


@pytest.mark.parametrize(("hidden_dim", "multiple", "S"), [(5, 1, 5), (5, 4, 8), (8, 4, 8), (9, 16, 16), (17, 16, 32)])
@pytest.mark.parametrize("layers", [1, 3])
@pytest.mark.parametrize(
    ("cell", "gates", "recurrent"), [("rnn", "h", "h"), ("gru", "zrh", "zr"), ("lstm",) + ("ifoc",) * 2]
)
def test_every_weight_stands_in_its_gates_place_and_all_around_it_is_zero(
    cell: str, gates: str, recurrent: str, layers: int, hidden_dim: int, multiple: int, S: int
) -> None:
    H, V = hidden_dim, 11
    checkpoint = tiny_checkpoint(cell, layers, H, V)
    p = checkpoint.parameters
    fused = fuse(checkpoint.config, p, multiple)
    assert fused.state_dim == S
    assert len(fused.layers) == layers
    for number, layer in enumerate(fused.layers):
        before = f"layer{number}." if layers > 1 else ""
        D = S if number else V
        W_x, W_h, b = np.zeros((D, len(gates) * S)), np.zeros((S, len(recurrent) * S)), np.zeros(len(gates) * S)
        for place, g in enumerate(gates):
            W = p[f"{before}W_x{g}"]
            W_x[: len(W), place * S : place * S + H] = W
            b[place * S : place * S + H] = p[f"{before}b_{g}"]
        for place, g in enumerate(recurrent):
            W_h[:H, place * S : place * S + H] = p[f"{before}W_h{g}"]
        if number:
            assert layer.b is not None
            np.testing.assert_array_equal(layer.b, b)
        else:
            assert layer.b is None
            W_x = (W_x + b).astype(np.float32)
        np.testing.assert_array_equal(layer.W_x, W_x)
        np.testing.assert_array_equal(layer.W_h, W_h)
        if cell == "gru":
            candidate = np.zeros((S, S))
            candidate[:H, :H] = p[f"{before}W_hh"]
            assert layer.W_hh is not None
            np.testing.assert_array_equal(layer.W_hh, candidate)
        else:
            assert layer.W_hh is None
        arrays = [array for array in (layer.W_x, layer.W_h, layer.b, layer.W_hh) if array is not None]
        assert all(array.dtype == np.float32 and array.flags.c_contiguous for array in arrays)
    np.testing.assert_array_equal(fused.W_hy[:H], p["W_hy"])
    assert fused.W_hy.shape == (S, V)
    assert not fused.W_hy[H:].any()
    np.testing.assert_array_equal(fused.b_y, p["b_y"])


def test_nothing_is_filled_up_unless_it_is_asked_for() -> None:
    assert fuse(tiny_checkpoint(hidden_dim=7).config, tiny_checkpoint(hidden_dim=7).parameters).state_dim == 7
