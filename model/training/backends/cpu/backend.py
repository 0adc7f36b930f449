"""The fast backend: losses and gradients of a whole batch, layer by layer, on the CPU."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from model.arrays import Float32s, Float32s3D, Int32s, Int32s2D, Reals, Reals2D, Reals3D, RealState
from model.config import ModelConfig
from model.kernels.bfloat16 import PAIR
from model.kernels.products import Products
from model.kernels.team import Team
from model.training.backends.cpu import rows, softmax
from model.training.backends.cpu.layers import LAYERS, Layer
from model.training.backends.flat import Flat
from model.training.optimisation.dropout import NO_MASKS, Masks


class Room:
    """What one shape of batch is computed in."""

    def __init__(self, layers: list[Layer], Y: Reals3D) -> None:
        self.layers = layers
        self.shown = [layer.masked for layer in layers]  # outputs as the layer above sees them, (T, N, H)
        hidden = (layers[0].H.shape[2], layers[0].G.shape[2])
        self.masked_W_h = [np.zeros(hidden, Y.dtype) for _ in layers]
        self.W_h = list(self.masked_W_h)  # recurrent weights as the batch uses them
        self.Y, self.losses = Y, np.zeros(Y.shape[:2], Y.dtype)  # (T, N, V), (T, N)

    def end(self) -> RealState:
        """The state behind the batch."""
        return tuple(array for layer in self.layers for array in layer.end())


class CpuBackend:
    name = "cpu"

    def __init__(
        self, config: ModelConfig, dtype: str = "float32", threads: int | None = None, precision: str = "float32"
    ) -> None:
        self.config = config
        self._team = Team(threads)
        self._exact = self._fast = Products(self._team, dtype)
        if precision == "bfloat16":
            self.name, self._fast = "cpu-bfloat16", Products(self._team, PAIR)
        self._flat = Flat(_fused_shapes(config))
        self.num_decayed = self._flat.num_decayed
        self.weights: Reals = np.zeros(self._flat.size, dtype)
        self.gradient: Reals = np.zeros(self._flat.size, dtype)
        self._weights, self._gradients = self._flat.views(self.weights), self._flat.views(self.gradient)
        self._rooms: dict[tuple[int, int, Products], Room] = {}

    def gradients(
        self, data: Int32s2D, labels: Int32s2D, state: RealState, masks: Masks = NO_MASKS
    ) -> tuple[float, RealState]:
        room = self._forward(data, state, masks, self._fast)
        self._gradients["b_y"][:] = self._loss(room, labels)
        self._backward(room, data, masks)
        return float(room.losses.sum(dtype=np.float64)), room.end()

    def losses(self, data: Int32s2D, labels: Int32s2D, state: RealState) -> tuple[Reals2D, RealState]:
        room = self._forward(data, state, NO_MASKS, self._exact)
        self._loss(room, labels)
        return room.losses.T.copy(), room.end()

    def step(self, ids: Int32s, state: RealState) -> tuple[Reals2D, RealState]:
        room = self._forward(ids[:, None], state, NO_MASKS, self._exact)
        return room.Y[0] + self._weights["b_y"], room.end()

    def _forward(self, data: Int32s2D, state: RealState, masks: Masks, products: Products) -> Room:
        """Outputs of all layers and the logits, b_y not yet added."""
        N, T = data.shape
        room = self._room(N, T, products)
        w, layers = self._weights, room.layers
        per_layer = layers[0].num_states
        nothing = rows.nothing(self.weights.dtype)
        for i, layer in enumerate(layers):
            layer.begin(state[i * per_layer : (i + 1) * per_layer])
            if i > 0:
                products.dot(_rows_of(room.shown[i - 1]), w[f"W_x{i}"], _rows_of(layer.G))
                self._add_to_rows(_rows_of(layer.G), w[f"b{i}"])
            room.W_h[i] = self._masked(
                w[f"W_h{i}"], masks.recurrent[i] if masks.recurrent else None, room.masked_W_h[i]
            )
            layer.forward(self._inputs(data) if i == 0 else nothing, room.W_h[i])
            room.shown[i] = self._masked(layer.H[1:], self._mask(masks, i), layer.masked)
        products.dot(_rows_of(room.shown[-1]), w["W_hy"], _rows_of(room.Y))
        return room

    def _loss(self, room: Room, labels: Int32s2D) -> Reals:
        """Losses, and the logits become their gradient; returns that of b_y."""
        wanted, b = np.ascontiguousarray(labels.T), self._weights["b_y"]
        T = len(wanted)
        parts = np.zeros((self._team.threads, len(b)), room.Y.dtype)

        def share(lo: int, hi: int) -> None:
            part = parts[lo * len(parts) // T]  # one of its own for each share
            softmax.loss_and_gradient(room.Y, b, wanted, room.losses, part, lo, hi)

        self._team.share(T, share, grain=1)
        return np.asarray(parts.sum(axis=0))

    def _backward(self, room: Room, data: Int32s2D, masks: Masks) -> None:
        w, d, products, layers = self._weights, self._gradients, self._fast, room.layers
        products.dot(_rows_of(room.shown[-1]).T, _rows_of(room.Y), d["W_hy"])
        products.dot(_rows_of(room.Y), w["W_hy"].T, _rows_of(layers[-1].dH))
        for i in range(len(layers) - 1, -1, -1):
            layer = layers[i]
            self._masked(layer.dH, self._mask(masks, i), layer.dH)
            layer.backward(room.W_h[i], d[f"W_h{i}"])
            if masks.recurrent:
                self._masked(d[f"W_h{i}"], masks.recurrent[i], d[f"W_h{i}"])
            dG = _rows_of(layer.G)
            if i > 0:
                self._add_rows(d[f"b{i}"], dG)
                products.correlate(room.shown[i - 1], layer.pG, d[f"W_x{i}"])
                products.dot(dG, w[f"W_x{i}"].T, _rows_of(layers[i - 1].dH))
        dW_x, db = d["W_x0"], d["b0"]
        dW_x[:] = 0
        db[:] = 0
        indices = np.ascontiguousarray(data.T).reshape(-1)
        self._team.share(len(db), lambda lo, hi: rows.scatter(dW_x, db, indices, dG, lo, hi), grain=64)

    def _add_rows(self, db: Reals, dG: Reals2D) -> None:
        db[:] = 0
        self._team.share(len(db), lambda lo, hi: rows.add_rows(db, dG, lo, hi), grain=64)

    def _add_to_rows(self, G: Reals2D, b: Reals) -> None:
        self._team.share(len(G), lambda lo, hi: np.add(G[lo:hi], b, out=G[lo:hi]))

    def _masked(self, A: Reals, mask: Float32s | None, room: Reals) -> Reals:
        """A ⊙ mask, in `room`; A itself where nothing is hidden."""
        if mask is None:
            return A
        self._team.share(len(A), lambda lo, hi: np.multiply(A[lo:hi], mask[lo:hi], out=room[lo:hi]), grain=1)
        return room

    def _mask(self, masks: Masks, i: int) -> Float32s3D | None:
        """Of what the layer above sees of layer i, (T, N, H)."""
        return masks.output if i == self.config.num_layers - 1 else masks.layers[i] if masks.layers else None

    def _inputs(self, data: Int32s2D) -> rows.Inputs:
        return self._weights["W_x0"], self._weights["b0"], np.ascontiguousarray(data.T)

    def _room(self, N: int, T: int, products: Products) -> Room:
        """Buffers for batches of (N, T), made once."""
        if (N, T, products) not in self._rooms:
            config, dtype = self.config, self.weights.dtype
            layers = [LAYERS[config.cell](N, T, config.hidden_dim, dtype, products) for _ in range(config.num_layers)]
            Y = np.zeros((T, N, config.vocab_size), dtype)
            self._rooms[N, T, products] = Room(layers, Y)
        return self._rooms[N, T, products]

    def load(self, parameters: Mapping[str, Reals]) -> None:
        for name, view in self._book_views(self.weights).items():
            view[...] = parameters[name]

    def named(self, vector: Reals) -> dict[str, Float32s]:
        views = self._book_views(vector)
        return {name: np.array(views[name], np.float32, order="C") for name in self.config.parameter_shapes()}

    def _book_views(self, vector: Reals) -> dict[str, Reals]:
        """Each of the book's parameters as the columns of a gate."""
        config, fused, H = self.config, self._flat.views(vector), self.config.hidden_dim
        views = {"W_hy": fused["W_hy"], "b_y": fused["b_y"]}
        for i in range(config.num_layers):
            for place, gate in enumerate(config.gates):
                columns = slice(place * H, (place + 1) * H)
                for ours, book in (("W_x", f"W_x{gate}"), ("W_h", f"W_h{gate}"), ("b", f"b_{gate}")):
                    views[config.prefix(i) + book] = fused[f"{ours}{i}"][..., columns]
        return views


def _fused_shapes(config: ModelConfig) -> dict[str, tuple[int, ...]]:
    """Matrices, then biases."""
    H, V, wide = config.hidden_dim, config.vocab_size, len(config.gates) * config.hidden_dim
    shapes: dict[str, tuple[int, ...]] = {}
    for i in range(config.num_layers):
        shapes[f"W_x{i}"] = (V if i == 0 else H, wide)
        shapes[f"W_h{i}"] = (H, wide)
    shapes["W_hy"] = (H, V)
    shapes.update({f"b{i}": (wide,) for i in range(config.num_layers)})
    return {**shapes, "b_y": (V,)}


def _rows_of(array: Reals3D) -> Reals2D:
    """(T, N, X) ↦ (T·N, X)"""
    return array.reshape(-1, array.shape[-1])
