"""Writes a model as ONNX graphs. Knows nothing of ONNX Runtime.

Two graphs over the same nodes, with N rows (any number), S the width of the state and `state…` its arrays::

    step:     ids (N,), state…                     ↦  logits (N, V), state…
    advance:  forced (K, N), last (N,), state…     ↦  chosen (K, N), state…     (see `Engine.advance`)

`advance` is one Scan over the K rows of `forced` with the arg-max inside, so greedy rows never leave the graph as
logits. The one-hot product is a Gather, gates are fused, and what a product is added to rides along as its Gemm's C.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from onnx import TensorProto, checker, helper, numpy_helper

from model.arrays import Untyped
from model.config import ModelConfig
from model.engines.fused import Fused, FusedLayer

OPSET = 17
IR_VERSION = 9


class _Graph:
    """A graph in the making: calling it adds a node and gives back the name of its output."""

    def __init__(self) -> None:
        self.nodes: list[Any] = []
        self.constants: dict[str, Untyped] = {}

    def __call__(self, op: str, *inputs: str, to: str | None = None, **attributes: Any) -> str:
        name = to or f"{op}{len(self.nodes)}"
        self.nodes.append(helper.make_node(op, list(inputs), [name], **attributes))
        return name

    def split(self, source: str, *widths: int) -> list[str]:
        names = [f"Split{len(self.nodes)}.{part}" for part in range(len(widths))]
        sizes = self.constant("widths" + "_".join(map(str, widths)), np.array(widths, np.int64))
        self.nodes.append(helper.make_node("Split", [source, sizes], names, axis=1))
        return names

    def constant(self, name: str, value: Untyped) -> str:
        self.constants[name] = value
        return name

    def initializers(self) -> list[Any]:
        return [numpy_helper.from_array(value, name) for name, value in self.constants.items()]


def step_graph(config: ModelConfig, fused: Fused) -> bytes:
    graph = _Graph()
    states = [f"in.{name}" for name in config.state_names]
    top, new = _stack(graph, config, fused, "ids", states)
    _logits(graph, fused, top, to="logits")
    for name, value in zip(config.state_names, new, strict=True):
        graph("Identity", value, to=name)
    inputs = [_ints("ids", "N"), *_states("in.", config, fused)]
    outputs = [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["N", config.vocab_size])]
    outputs += _states("", config, fused)
    return _serialise(helper.make_graph(graph.nodes, "step", inputs, outputs, graph.initializers()))


def advance_graph(config: ModelConfig, fused: Fused) -> bytes:
    body = _Graph()
    states = [f"in.{name}" for name in config.state_names]
    free = body("Less", "forced_k", body.constant("zero", np.zeros((), np.int64)))
    top, new = _stack(body, config, fused, body("Where", free, "last_k", "forced_k"), states)
    body("ArgMax", _logits(body, fused, top), axis=1, keepdims=0, to="next_k")
    body("Identity", "next_k", to="chosen_k")
    for name, value in zip(config.state_names, new, strict=True):
        body("Identity", value, to=f"out.{name}")
    scanned = helper.make_graph(
        body.nodes,
        "one_step",
        [_ints("last_k", "N"), *_states("in.", config, fused), _ints("forced_k", "N")],
        [_ints("next_k", "N"), *_states("out.", config, fused), _ints("chosen_k", "N")],
    )
    given = [f"given.{name}" for name in config.state_names]
    node = helper.make_node(
        "Scan",
        ["last", *given, "forced"],
        ["last_out", *config.state_names, "chosen"],
        body=scanned,
        num_scan_inputs=1,
    )
    return _serialise(
        helper.make_graph(
            [node],
            "advance",
            [_ints("forced", "K", "N"), _ints("last", "N"), *_states("given.", config, fused)],
            [_ints("chosen", "K", "N"), *_states("", config, fused)],
            body.initializers(),  # in the outer graph: the body sees them, and ONNX Runtime packs them once
        )
    )


def _stack(graph: _Graph, config: ModelConfig, fused: Fused, ids: str, states: list[str]) -> tuple[str, list[str]]:
    """All layers: the top output and the new states."""
    per_layer = len(states) // config.num_layers
    new: list[str] = []
    x = ids
    for number, layer in enumerate(fused.layers):
        prefix = config.prefix(number)
        W_x = graph.constant(f"{prefix}W_x", layer.W_x)
        own = states[number * per_layer : (number + 1) * per_layer]
        b = None if layer.b is None else graph.constant(f"{prefix}b", layer.b)
        x = graph("Gather", W_x, x) if b is None else graph("Gemm", x, W_x, b)
        new += _CELLS[config.cell](graph, prefix, layer, x, own)
        x = new[-per_layer]
    return new[-per_layer], new


def _rnn(graph: _Graph, prefix: str, layer: FusedLayer, x: str, states: list[str]) -> list[str]:
    (H,) = states
    return [graph("Tanh", graph("Gemm", H, graph.constant(f"{prefix}W_h", layer.W_h), x))]


def _gru(graph: _Graph, prefix: str, layer: FusedLayer, x: str, states: list[str]) -> list[str]:
    (H,) = states
    assert layer.W_hh is not None
    S = len(layer.W_hh)
    x_zr, x_h = graph.split(x, 2 * S, S)
    zr = graph("Sigmoid", graph("Gemm", H, graph.constant(f"{prefix}W_h", layer.W_h), x_zr))
    Z, R = graph.split(zr, S, S)
    W_hh = graph.constant(f"{prefix}W_hh", layer.W_hh)
    H_tilde = graph("Tanh", graph("Gemm", graph("Mul", R, H), W_hh, x_h))
    one = graph.constant("one", np.ones((), np.float32))
    return [graph("Add", graph("Mul", Z, H), graph("Mul", graph("Sub", one, Z), H_tilde))]


def _lstm(graph: _Graph, prefix: str, layer: FusedLayer, x: str, states: list[str]) -> list[str]:
    H, C = states
    S = len(layer.W_h)
    sums = graph("Gemm", H, graph.constant(f"{prefix}W_h", layer.W_h), x)
    ifo, c = graph.split(sums, 3 * S, S)
    I, F, O = graph.split(graph("Sigmoid", ifo), S, S, S)  # noqa: E741 - the book's letters
    C_new = graph("Add", graph("Mul", F, C), graph("Mul", I, graph("Tanh", c)))
    return [graph("Mul", O, graph("Tanh", C_new)), C_new]


_CELLS = {"rnn": _rnn, "gru": _gru, "lstm": _lstm}


def _logits(graph: _Graph, fused: Fused, top: str, to: str | None = None) -> str:
    return graph("Gemm", top, graph.constant("W_hy", fused.W_hy), graph.constant("b_y", fused.b_y), to=to)


def _ints(name: str, *shape: str) -> Any:
    return helper.make_tensor_value_info(name, TensorProto.INT64, shape)


def _states(prefix: str, config: ModelConfig, fused: Fused) -> list[Any]:
    return [
        helper.make_tensor_value_info(f"{prefix}{name}", TensorProto.FLOAT, ["N", fused.state_dim])
        for name in config.state_names
    ]


def _serialise(graph: Any) -> bytes:
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION)
    checker.check_model(proto)
    return bytes(proto.SerializeToString())
