"""The fast backend: losses and gradients of a whole batch, layer by layer, on the CPU."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from model.config import ModelConfig
from model.training.backend import Batch, State, Vector
from model.training.bptt import rows, softmax
from model.training.bptt.layers import LAYERS, Layer
from model.training.bptt.team import Team
from model.training.dropout import NO_MASKS, Masks

Array = npt.NDArray[np.floating[Any]]


class NumpyBackend:
    name = "numpy"

    def __init__(self, config: ModelConfig, dtype: str = "float32", threads: int | None = None) -> None:
        self.config = config
        self._team = Team(threads)
        self._shapes = _fused_shapes(config)
        self.num_decayed = sum(int(np.prod(s)) for s in self._shapes.values() if len(s) == 2)
        self.weights: Vector = np.zeros(sum(int(np.prod(s)) for s in self._shapes.values()), dtype)
        self.gradient: Vector = np.zeros_like(self.weights)
        self._weights, self._gradients = self._views(self.weights), self._views(self.gradient)
        self._buffers: dict[tuple[int, int], tuple[list[Layer], Array, Array]] = {}

    def gradients(self, data: Batch, labels: Batch, state: State, masks: Masks = NO_MASKS) -> tuple[float, State]:
        layers, Y, losses = self._forward(data, state, masks)
        self._loss(Y, labels, losses)
        self._backward(data, layers, Y, masks)
        return float(losses.sum(dtype=np.float64)), tuple(array for layer in layers for array in layer.end())

    def losses(self, data: Batch, labels: Batch, state: State) -> tuple[npt.NDArray[np.floating[Any]], State]:
        layers, Y, losses = self._forward(data, state, NO_MASKS)
        self._loss(Y, labels, losses)
        N, T = data.shape
        return losses.reshape(T, N).T.copy(), tuple(array for layer in layers for array in layer.end())

    def step(self, ids: npt.NDArray[np.int32], state: State) -> tuple[npt.NDArray[np.floating[Any]], State]:
        layers, Y, _ = self._forward(ids[:, None], state, NO_MASKS)
        return Y.copy(), tuple(array for layer in layers for array in layer.end())

    def _forward(self, data: Batch, state: State, masks: Masks) -> tuple[list[Layer], Array, Array]:
        """Layers with their outputs, logits Y (T·N, V), and room for T·N losses."""
        N, T = data.shape
        layers, Y, losses = self._room(N, T)
        w, team, per_layer = self._weights, self._team, layers[0].num_states
        indices = np.ascontiguousarray(data.T.reshape(-1))
        scale = self._input_scale(masks, N * T)
        for i, layer in enumerate(layers):
            layer.begin(state[i * per_layer : (i + 1) * per_layer])
            W_x, W_h, b = (w[f"{kind}{i}"] for kind in ("W_x", "W_h", "b"))
            G = _flat(layer.G)
            if i == 0:
                team.share(N * T, partial(rows.gather, W_x, b, indices, scale, G))
            else:
                X = self._shown(layers[i - 1], masks, i - 1)
                team.dot(X, W_x, G)
                G += b
            layer.forward(W_h, team)
        team.dot(self._shown(layers[-1], masks, len(layers) - 1), w["W_hy"], Y)
        team.share(N * T, lambda lo, hi: np.add(Y[lo:hi], w["b_y"], out=Y[lo:hi]))
        return layers, Y, losses

    def _loss(self, Y: Array, labels: Batch, losses: Array) -> None:
        wanted = np.ascontiguousarray(labels.T.reshape(-1))
        self._team.share(len(Y), lambda lo, hi: softmax.loss_and_gradient(Y, wanted, losses, lo, hi))

    def _backward(self, data: Batch, layers: list[Layer], dY: Array, masks: Masks) -> None:
        N, T = data.shape
        w, d, team = self._weights, self._gradients, self._team
        top = layers[-1]
        team.dot(self._shown(top, masks, len(layers) - 1).T, dY, d["W_hy"])
        self._add_rows(d["b_y"], dY)
        team.dot(dY, w["W_hy"].T, _flat(top.dH))
        for i in range(len(layers) - 1, -1, -1):
            layer, mask = layers[i], self._mask(masks, i)
            if mask is not None:
                layer.dH *= mask
            layer.backward(w[f"W_h{i}"], d[f"W_h{i}"], team)
            dG, dW_x = _flat(layer.G), d[f"W_x{i}"]
            self._add_rows(d[f"b{i}"], dG)
            if i > 0:
                team.dot(self._shown(layers[i - 1], masks, i - 1).T, dG, dW_x)
                team.dot(dG, w[f"W_x{i}"].T, _flat(layers[i - 1].dH))
        dW_x[:] = 0
        indices, scale = np.ascontiguousarray(data.T.reshape(-1)), self._input_scale(masks, N * T)
        team.share(dG.shape[1], lambda lo, hi: rows.scatter(dW_x, indices, scale, dG, lo, hi), grain=64)

    def _add_rows(self, db: Array, dG: Array) -> None:
        db[:] = 0
        self._team.share(len(db), lambda lo, hi: rows.add_rows(db, dG, lo, hi), grain=64)

    def _shown(self, layer: Layer, masks: Masks, i: int) -> Array:
        """What the layer above sees of layer i, (T·N, H)."""
        mask = self._mask(masks, i)
        return _flat(layer.H[1:] if mask is None else layer.H[1:] * mask)

    def _mask(self, masks: Masks, i: int) -> Any:
        if i == self.config.num_layers - 1:
            return masks.output
        return masks.layers[i] if masks.layers else None

    def _input_scale(self, masks: Masks, size: int) -> Array:
        if masks.input is None:
            return np.ones(size, self.weights.dtype)
        return masks.input.reshape(-1).astype(self.weights.dtype)

    def _room(self, N: int, T: int) -> tuple[list[Layer], Array, Array]:
        """Buffers for batches of (N, T), made once."""
        if (N, T) not in self._buffers:
            config, dtype = self.config, self.weights.dtype
            layers = [LAYERS[config.cell](N, T, config.hidden_dim, dtype) for _ in range(config.num_layers)]
            self._buffers[N, T] = layers, np.zeros((N * T, config.vocab_size), dtype), np.zeros(N * T, dtype)
        return self._buffers[N, T]

    def load(self, parameters: Mapping[str, npt.NDArray[Any]]) -> None:
        for name, view in self._book_views(self.weights).items():
            view[...] = parameters[name]

    def named(self, vector: Vector) -> dict[str, npt.NDArray[np.float32]]:
        views = self._book_views(vector)
        return {name: np.array(views[name], np.float32, order="C") for name in self.config.parameter_shapes()}

    def _views(self, vector: Vector) -> dict[str, Array]:
        views, at = {}, 0
        for name, shape in self._shapes.items():
            size = int(np.prod(shape))
            views[name] = vector[at : at + size].reshape(shape)
            at += size
        return views

    def _book_views(self, vector: Vector) -> dict[str, Array]:
        """Each of the book's parameters as the columns of a gate."""
        config, fused, H = self.config, self._views(vector), self.config.hidden_dim
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


def _flat(array: Array) -> Array:
    """(T, N, X) ↦ (T·N, X)"""
    return array.reshape(-1, array.shape[-1])
