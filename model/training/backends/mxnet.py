"""The reference backend: the equations of `reference.cells` under MXNet's automatic differentiation, on any context.

Plain on purpose; the fast backend is tested equal to it. Two things differ from the chapter's own loop, neither in
what is computed: the product of a one-hot row is read off the matrix, and the output layer is applied once to the
outputs of all steps together.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from model.config import ModelConfig
from model.reference import cells
from model.reference.device import Context, NDArray, mx
from model.training.backend import Batch, State, Vector
from model.training.optimisation.dropout import NO_MASKS, Mask, Masks

nd = mx.nd


class Reference:
    name = "mxnet"

    def __init__(self, config: ModelConfig, ctx: Context, dtype: str = "float32") -> None:
        self.config, self.ctx, self.dtype = config, ctx, dtype
        shapes = config.parameter_shapes()
        # Matrices before biases, as Backend.num_decayed wants it.
        self._shapes = dict(sorted(shapes.items(), key=lambda item: -len(item[1])))
        self.weights: Vector = np.zeros(sum(int(np.prod(s)) for s in shapes.values()), dtype)
        self.gradient: Vector = np.zeros_like(self.weights)
        self.num_decayed = sum(int(np.prod(s)) for s in shapes.values() if len(s) == 2)
        self._parameters = {name: nd.zeros(s, ctx=ctx, dtype=dtype) for name, s in shapes.items()}
        for parameter in self._parameters.values():
            parameter.attach_grad()

    def gradients(self, data: Batch, labels: Batch, state: State, masks: Masks = NO_MASKS) -> tuple[float, State]:
        self._push()
        with mx.autograd.record():
            losses, new_state = self._forward(data, labels, state, masks)
            loss = losses.sum()
        loss.backward()
        for name, view in self._views(self.gradient).items():
            view[:] = self._parameters[name].grad.asnumpy()
        return float(loss.asscalar()), tuple(array.asnumpy() for array in new_state)

    def losses(self, data: Batch, labels: Batch, state: State) -> tuple[npt.NDArray[np.floating[Any]], State]:
        self._push()
        losses, new_state = self._forward(data, labels, state, NO_MASKS)
        N, T = data.shape
        return losses.asnumpy().reshape(T, N).T, tuple(array.asnumpy() for array in new_state)

    def step(self, ids: npt.NDArray[np.int32], state: State) -> tuple[npt.NDArray[np.floating[Any]], State]:
        self._push()
        arrays = tuple(self._array(array) for array in state)
        H, arrays = cells.stack_step(self.config, cells.gather(self._array(ids, "int32")), arrays, self._parameters)
        return cells.output(H, self._parameters).asnumpy(), tuple(array.asnumpy() for array in arrays)

    def _forward(self, data: Batch, labels: Batch, state: State, masks: Masks) -> tuple[NDArray, cells.State]:
        """Softmax cross-entropy of each position, shape (T·N,), and the new state."""
        T = data.shape[1]
        arrays = [self._array(array) for array in state]
        outputs = []
        for t in range(T):
            x = cells.gather(self._array(data[:, t], "int32"))
            if masks.input is not None:
                x = _scaled(x, self._array(masks.input[t, :, None]))
            H, arrays = self._layers(x, arrays, masks, t)
            outputs.append(_masked(H, masks.output, t, self._array))
        Y = cells.output(nd.concat(*outputs, dim=0), self._parameters)  # (T·N, V)
        picked = nd.pick(nd.log_softmax(Y), self._array(labels.T.reshape(-1), "int32"))
        return -picked, tuple(arrays)

    def _layers(self, x: cells.Project, state: list[NDArray], masks: Masks, t: int) -> tuple[NDArray, list[NDArray]]:
        """One step through all layers, as `cells.stack_step`, with units hidden between them."""
        config = self.config
        per_layer = len(state) // config.num_layers
        new: list[NDArray] = []
        for layer in range(config.num_layers):
            if layer > 0:
                x = cells.dense(
                    _masked(new[-per_layer], masks.layers[layer - 1] if masks.layers else None, t, self._array)
                )
            own = {name: self._parameters[config.prefix(layer) + name] for name in self._layer_names()}
            if masks.recurrent:
                own |= self._hidden_weights(own, masks.recurrent[layer])
            new += cells.CELLS[config.cell](x, tuple(state[layer * per_layer : (layer + 1) * per_layer]), own)
        return new[-per_layer], new

    def _hidden_weights(self, own: dict[str, NDArray], mask: Mask) -> dict[str, NDArray]:
        parts = np.split(mask, len(self.config.gates), axis=1)
        return {f"W_h{g}": own[f"W_h{g}"] * self._array(part) for g, part in zip(self.config.gates, parts, strict=True)}

    def _layer_names(self) -> list[str]:
        return [name for g in self.config.gates for name in (f"W_x{g}", f"W_h{g}", f"b_{g}")]

    def load(self, parameters: Mapping[str, npt.NDArray[Any]]) -> None:
        for name, view in self._views(self.weights).items():
            view[:] = parameters[name]

    def named(self, vector: Vector) -> dict[str, npt.NDArray[np.float32]]:
        views = self._views(vector)
        return {name: views[name].astype(np.float32) for name in self.config.parameter_shapes()}

    def _views(self, vector: Vector) -> dict[str, Vector]:
        views, at = {}, 0
        for name, shape in self._shapes.items():
            size = int(np.prod(shape))
            views[name] = vector[at : at + size].reshape(shape)
            at += size
        return views

    def _push(self) -> None:
        """The flat vector is what counts; the NDArrays are its copy on the context."""
        for name, view in self._views(self.weights).items():
            self._parameters[name][:] = self._array(view)

    def _array(self, values: npt.NDArray[Any], dtype: str | None = None) -> NDArray:
        return nd.array(values, ctx=self.ctx, dtype=dtype or self.dtype)


def _scaled(x: cells.Project, factor: NDArray) -> cells.Project:
    return lambda W: factor * x(W)


def _masked(H: NDArray, mask: Mask | None, t: int, array: Any) -> NDArray:
    return H if mask is None else H * array(mask[t])
