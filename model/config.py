"""What fixes the shapes of a model: the cell, its size, the size of its vocabulary."""

from __future__ import annotations

from dataclasses import dataclass

from model.errors import OptionError

# Gates in the book's order; gate g owns the parameters W_x{g}, W_h{g}, b_{g}.
GATES: dict[str, tuple[str, ...]] = {
    "rnn": ("h",),
    "gru": ("z", "r", "h"),
    "lstm": ("i", "f", "o", "c"),
}
MAX_LAYERS = 4
MAX_HIDDEN_DIM = 8192


@dataclass(frozen=True)
class ModelConfig:
    """cell: rnn, gru or lstm; num_layers (L): 1 … 4; hidden_dim (H): 1 … 8192; vocab_size (V): at least 1."""

    cell: str
    num_layers: int
    hidden_dim: int
    vocab_size: int

    def __post_init__(self) -> None:
        if self.cell not in GATES:
            raise OptionError("cell", f"{self.cell!r} is not one of {', '.join(GATES)}")
        for field, high in (("num_layers", MAX_LAYERS), ("hidden_dim", MAX_HIDDEN_DIM), ("vocab_size", 0x110000)):
            value = getattr(self, field)
            if type(value) is not int or not 1 <= value <= high:
                raise OptionError(field, f"{value!r} is not a whole number from 1 to {high}")

    @property
    def gates(self) -> tuple[str, ...]:
        return GATES[self.cell]

    @property
    def state_names(self) -> tuple[str, ...]:
        """One name per array of the state, in order: H for each layer, and C behind it for the LSTM."""
        kinds = ("H", "C") if self.cell == "lstm" else ("H",)
        return tuple(f"{self.prefix(layer)}{kind}" for layer in range(self.num_layers) for kind in kinds)

    def prefix(self, layer: int) -> str:
        """What stands before the parameter names of a layer: nothing in a model of one layer, else `layer0.` …"""
        return f"layer{layer}." if self.num_layers > 1 else ""

    def parameter_shapes(self) -> dict[str, tuple[int, ...]]:
        """Names and shapes of all parameters: the layers from the bottom up, then the output layer."""
        H, V = self.hidden_dim, self.vocab_size
        shapes: dict[str, tuple[int, ...]] = {}
        for layer in range(self.num_layers):
            D = V if layer == 0 else H
            for g in self.gates:
                shapes[f"{self.prefix(layer)}W_x{g}"] = (D, H)
                shapes[f"{self.prefix(layer)}W_h{g}"] = (H, H)
                shapes[f"{self.prefix(layer)}b_{g}"] = (H,)
        return {**shapes, "W_hy": (H, V), "b_y": (V,)}
