from __future__ import annotations

from typing import Any

import pytest

from model.config import ModelConfig
from model.errors import OptionError


def test_one_layer_has_the_books_names_and_several_have_a_prefix_each() -> None:
    assert list(ModelConfig("rnn", 1, 4, 7).parameter_shapes()) == ["W_xh", "W_hh", "b_h", "W_hy", "b_y"]
    two = ModelConfig("gru", 2, 4, 7).parameter_shapes()
    assert two["layer0.W_xz"] == (7, 4)
    assert two["layer1.W_xz"] == (4, 4)
    assert two["W_hy"] == (4, 7)
    assert [name for name in ModelConfig("lstm", 1, 4, 7).parameter_shapes() if name.startswith("b")] == [
        "b_i",
        "b_f",
        "b_o",
        "b_c",
        "b_y",
    ]


def test_the_lstm_has_two_arrays_of_state_per_layer() -> None:
    assert ModelConfig("lstm", 2, 4, 7).state_names == ("layer0.H", "layer0.C", "layer1.H", "layer1.C")
    assert ModelConfig("gru", 1, 4, 7).state_names == ("H",)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("cell", "transformer"),
        ("num_layers", 0),
        ("num_layers", 5),
        ("hidden_dim", 0),
        ("hidden_dim", 2.0),
        ("hidden_dim", True),
        ("hidden_dim", 8193),
        ("vocab_size", 0),
        ("vocab_size", 0x110001),
    ],
)
def test_a_field_out_of_bounds_is_named_with_its_value_and_what_is_allowed(field: str, value: Any) -> None:
    fields: dict[str, Any] = {"cell": "rnn", "num_layers": 1, "hidden_dim": 4, "vocab_size": 7, field: value}
    allowed = {
        "cell": "rnn, gru, lstm",
        "num_layers": "1 to 4",
        "hidden_dim": "1 to 8192",
        "vocab_size": "1 to 1114112",
    }
    with pytest.raises(OptionError, match=f"^{field}: {value!r} is not .* {allowed[field]}$") as refused:
        ModelConfig(**fields)
    assert refused.value.field == field


@pytest.mark.parametrize("sizes", [(1, 1, 1), (4, 8192, 0x110000)])
def test_the_bounds_themselves_are_allowed(sizes: tuple[int, int, int]) -> None:
    ModelConfig("rnn", *sizes)


@pytest.mark.parametrize("layers", [1, 2, 4])
@pytest.mark.parametrize(("cell", "gates"), [("rnn", "h"), ("gru", "zrh"), ("lstm", "ifoc")])
def test_a_layer_reads_what_the_one_below_gives_and_the_output_layer_the_last(
    cell: str, gates: str, layers: int
) -> None:
    H, V = 5, 11
    expected: list[tuple[str, tuple[int, ...]]] = []
    for layer in range(layers):
        before = f"layer{layer}." if layers > 1 else ""
        for g in gates:
            below = H if layer else V
            expected += [(f"{before}W_x{g}", (below, H)), (f"{before}W_h{g}", (H, H)), (f"{before}b_{g}", (H,))]
    expected += [("W_hy", (H, V)), ("b_y", (V,))]
    config = ModelConfig(cell, layers, H, V)
    assert list(config.parameter_shapes().items()) == expected
    assert config.gates == tuple(gates)
