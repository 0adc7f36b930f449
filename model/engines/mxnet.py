"""The MXNet engine: the reference's arithmetic, batched and hybridized, on the CPU or on a GPU that works.

MXNet is not safe to call from several threads. Every call that any engine of this process makes runs on one thread
that is kept for it, whoever asks. State crosses to NumPy and back once per call, not once per step.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Any, TypeVar

import numpy as np

from model.arrays import Float32s2D, Int64s, Int64s2D, State, zero_state
from model.checkpoint import Arrays
from model.config import ModelConfig
from model.decoding.engine import CHOOSE
from model.engines.fused import Fused, fuse, refuse_overflow
from model.errors import DeviceError
from model.reference.device import Context, NDArray, context, mx, reason

nd = mx.nd
T = TypeVar("T")


@cache
def _mxnet_thread() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(1, thread_name_prefix="mxnet")


def on_mxnet_thread(call: Callable[[], T]) -> T:
    """Runs `call` on the one thread that may use MXNet, and gives back its result or its error."""
    return _mxnet_thread().submit(call).result()


class MXNetEngine:
    """Engine (see `decoding.engine`). Callers on several threads take turns."""

    name = "mxnet"

    def __init__(self, config: ModelConfig, parameters: Arrays, device: str = "cpu") -> None:
        refuse_overflow(config, parameters)
        self.config = config
        self.state_dim = config.hidden_dim
        fused = fuse(config, parameters)
        self._ctx: Context = on_mxnet_thread(lambda: context(device))
        self.device: str = self._ctx.device_type
        try:
            self._block, self._weights = on_mxnet_thread(lambda: self._build(fused))
            if self.device == "gpu":  # only a step shows that its kernels and its memory are there
                self.step(np.zeros(1, np.int64), self.start(1))
        except mx.base.MXNetError as error:
            raise DeviceError(f"device: {device} cannot be used here: {reason(error)}") from error

    def start(self, n: int) -> State:
        return zero_state(self.config.state_names, n, self.state_dim, np.float32)

    def step(self, ids: Int64s, state: State) -> tuple[Float32s2D, State]:
        def run() -> tuple[Float32s2D, State]:
            (logits, _), new = self._one_step(self._ints(ids), self._ints(ids), self._arrays(state))
            return logits.asnumpy(), tuple(array.asnumpy() for array in new)

        return on_mxnet_thread(run)

    def advance(self, forced: Int64s2D, last: Int64s, state: State) -> tuple[Int64s2D, State]:
        def run() -> tuple[Int64s2D, State]:
            chosen, arrays = self._ints(last), self._arrays(state)
            steps = []
            for row in self._ints(forced):
                (_, chosen), arrays = self._one_step(row, chosen, arrays)
                steps.append(chosen)
            # Nothing has been waited for yet: MXNet queues the steps, and only these reads meet its errors.
            return nd.stack(*steps).asnumpy().astype(np.int64), tuple(array.asnumpy() for array in arrays)

        return on_mxnet_thread(run)

    def _build(self, fused: Fused) -> tuple[Any, list[NDArray]]:
        def put(array: Float32s2D) -> NDArray:
            return nd.array(array, ctx=self._ctx, dtype="float32")

        block = _Step(self.config)
        block.hybridize()
        weights = []
        for layer in fused.layers:
            # FullyConnected (oneDNN) takes its weights as (outputs, inputs); the gathered table stays as it is.
            weights += [put(layer.W_x)] if layer.b is None else [put(layer.W_x.T), put(layer.b)]
            weights += [put(array.T) for array in (layer.W_h, layer.W_hh) if array is not None]
        return block, [*weights, put(fused.W_hy.T), put(fused.b_y)]

    def _one_step(
        self, forced: NDArray, last: NDArray, state: list[NDArray]
    ) -> tuple[tuple[NDArray, NDArray], list[NDArray]]:
        logits, chosen, *new = self._block(forced, last, *state, *self._weights)
        return (logits, chosen), new

    def _ints(self, values: Int64s) -> NDArray:
        # `take` would clip a wrong index without a word.
        assert values.max(initial=0) < self.config.vocab_size, "index outside the vocabulary"
        return nd.array(values, ctx=self._ctx, dtype="int32")

    def _arrays(self, state: State) -> list[NDArray]:
        return [nd.array(array, ctx=self._ctx, dtype="float32") for array in state]


class _Step(mx.gluon.HybridBlock):  # type: ignore[misc]
    """forced (N,), last (N,), state…, weights… ↦ logits (N, V), chosen (N,), state…

    The weights come as inputs, in the order of `MXNetEngine._build`.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self._config = config

    def hybrid_forward(self, F: Any, forced: Any, last: Any, *rest: Any) -> list[Any]:
        config, H = self._config, self._config.hidden_dim
        count = len(config.state_names)
        state, weights = rest[:count], iter(rest[count:])
        per_layer = count // config.num_layers
        x = F.where(forced == CHOOSE, last, forced)
        new: list[Any] = []
        for layer in range(config.num_layers):
            if layer == 0:
                x = F.take(next(weights), x)
            else:
                x = F.FullyConnected(x, next(weights), next(weights), num_hidden=len(config.gates) * H)
            new += _CELLS[config.cell](F, x, state[layer * per_layer : (layer + 1) * per_layer], weights, H)
            x = new[-per_layer]
        logits = F.FullyConnected(x, next(weights), next(weights), num_hidden=config.vocab_size)
        return [logits, F.cast(F.argmax(logits, axis=1), dtype="int32"), *new]


def _product(F: Any, H: Any, weights: Any, width: int) -> Any:
    return F.FullyConnected(H, next(weights), num_hidden=width, no_bias=True)


def _rnn(F: Any, x: Any, state: Any, weights: Any, H_dim: int) -> list[Any]:
    (H,) = state
    return [F.tanh(x + _product(F, H, weights, H_dim))]


def _gru(F: Any, x: Any, state: Any, weights: Any, H_dim: int) -> list[Any]:
    (H,) = state
    x_zr, x_h = F.slice_axis(x, axis=1, begin=0, end=2 * H_dim), F.slice_axis(x, axis=1, begin=2 * H_dim, end=None)
    Z, R = F.split(F.sigmoid(x_zr + _product(F, H, weights, 2 * H_dim)), num_outputs=2, axis=1)
    H_tilde = F.tanh(x_h + _product(F, R * H, weights, H_dim))
    return [Z * H + (1 - Z) * H_tilde]


def _lstm(F: Any, x: Any, state: Any, weights: Any, H_dim: int) -> list[Any]:
    H, C = state
    i, f, o, c = F.split(x + _product(F, H, weights, 4 * H_dim), num_outputs=4, axis=1)
    C = F.sigmoid(f) * C + F.sigmoid(i) * F.tanh(c)
    return [F.sigmoid(o) * F.tanh(C), C]


_CELLS = {"rnn": _rnn, "gru": _gru, "lstm": _lstm}
