"""The reference backend: the equations of `reference.cells` under MXNet's automatic differentiation, on any context.

Plain on purpose; the fast backend is tested equal to it. Two things differ from the chapter's own loop, neither in
what is computed: the product of a one-hot row is read off the matrix, and the output layer is applied once to the
outputs of all steps together.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from model.arrays import Float32s, Float32s2D, Float32s3D, Int32s, Int32s2D, Reals, Reals2D, RealState
from model.config import ModelConfig
from model.reference import cells
from model.reference.device import Context, NDArray, mx
from model.training.backends.flat import Flat
from model.training.optimisation.dropout import NO_MASKS, Masks

nd = mx.nd


class MXNetBackend:
    name = "mxnet"

    def __init__(self, config: ModelConfig, ctx: Context, dtype: str = "float32") -> None:
        self.config, self.ctx, self.dtype = config, ctx, dtype
        shapes = config.parameter_shapes()
        self._flat = Flat(shapes)
        self.num_decayed = self._flat.num_decayed
        self.weights: Reals = np.zeros(self._flat.size, dtype)
        self.gradient: Reals = np.zeros(self._flat.size, dtype)
        self._parameters = {name: nd.zeros(s, ctx=ctx, dtype=dtype) for name, s in shapes.items()}
        for parameter in self._parameters.values():
            parameter.attach_grad()

    def gradients(
        self, data: Int32s2D, labels: Int32s2D, state: RealState, masks: Masks = NO_MASKS
    ) -> tuple[float, RealState]:
        self._push()
        with mx.autograd.record():
            losses, new_state = self._forward(data, labels, state, masks)
            loss = losses.sum()
        loss.backward()
        for name, view in self._flat.views(self.gradient).items():
            view[:] = self._parameters[name].grad.asnumpy()
        return float(loss.asscalar()), tuple(array.asnumpy() for array in new_state)

    def losses(self, data: Int32s2D, labels: Int32s2D, state: RealState) -> tuple[Reals2D, RealState]:
        self._push()
        losses, new_state = self._forward(data, labels, state, NO_MASKS)
        N, T = data.shape
        return losses.asnumpy().reshape(T, N).T, tuple(array.asnumpy() for array in new_state)

    def step(self, ids: Int32s, state: RealState) -> tuple[Reals2D, RealState]:
        self._push()
        arrays = tuple(self._array(array) for array in state)
        H, arrays = cells.stack_step(self.config, cells.gather(self._array(ids, "int32")), arrays, self._parameters)
        return cells.output(H, self._parameters).asnumpy(), tuple(array.asnumpy() for array in arrays)

    def _forward(self, data: Int32s2D, labels: Int32s2D, state: RealState, masks: Masks) -> tuple[NDArray, cells.State]:
        """Softmax cross-entropy of each position, shape (T·N,), and the new state."""
        T = data.shape[1]
        arrays = [self._array(array) for array in state]
        outputs = []
        for t in range(T):
            x = cells.gather(self._array(data[:, t], "int32"))
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

    def _hidden_weights(self, own: dict[str, NDArray], mask: Float32s2D) -> dict[str, NDArray]:
        parts = np.split(mask, len(self.config.gates), axis=1)
        return {f"W_h{g}": own[f"W_h{g}"] * self._array(part) for g, part in zip(self.config.gates, parts, strict=True)}

    def _layer_names(self) -> list[str]:
        return [name for g in self.config.gates for name in (f"W_x{g}", f"W_h{g}", f"b_{g}")]

    def load(self, parameters: Mapping[str, Reals]) -> None:
        for name, view in self._flat.views(self.weights).items():
            view[:] = parameters[name]

    def named(self, vector: Reals) -> dict[str, Float32s]:
        views = self._flat.views(vector)
        return {name: views[name].astype(np.float32) for name in self.config.parameter_shapes()}

    def _push(self) -> None:
        """The flat vector is what counts; the NDArrays are its copy on the context."""
        for name, view in self._flat.views(self.weights).items():
            self._parameters[name][:] = self._array(view)

    def _array(self, values: Reals | Int32s, dtype: str | None = None) -> NDArray:
        return nd.array(values, ctx=self.ctx, dtype=dtype or self.dtype)


def _masked(H: NDArray, mask: Float32s3D | None, t: int, array: Callable[[Float32s2D], NDArray]) -> NDArray:
    return H if mask is None else H * array(mask[t])
