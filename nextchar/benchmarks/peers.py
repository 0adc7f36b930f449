"""The same model (one tanh layer, greedy) written with other things. Each contender writes num_chars for N rows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime as ort

from model.checkpoint import Checkpoint
from model.engines.fused import fuse
from model.engines.onnx_graph import advance_graph
from model.processor import available_cores

Run = Callable[[], Any]
Ids = npt.NDArray[np.integer[Any]]


def bare_onnxruntime(checkpoint: Checkpoint, ids: Ids, num_chars: int, steps: int) -> Run:
    """ONNX Runtime and nothing around it: calls of `steps` steps with the arg-max inside."""
    fused = fuse(checkpoint.config, checkpoint.parameters, 16)
    options = ort.SessionOptions()
    options.inter_op_num_threads = 1
    session = ort.InferenceSession(advance_graph(checkpoint.config, fused), options, ["CPUExecutionProvider"])
    forced = np.full((steps, len(ids)), -1, np.int64)

    def run() -> None:
        last, state = ids.astype(np.int64), np.zeros((len(ids), fused.state_dim), np.float32)
        for _ in range(0, num_chars, steps):
            chosen, state = session.run(None, {"forced": forced, "last": last, "given.H": state})
            last = chosen[-1]

    return run


def torch_by_hand(checkpoint: Checkpoint, ids: Ids, num_chars: int) -> Run:
    import torch  # type: ignore[import-not-found,unused-ignore]

    torch.set_num_threads(available_cores())  # loading MXNet leaves it with one
    p = {name: torch.from_numpy(array) for name, array in checkpoint.parameters.items()}
    start = torch.from_numpy(ids.astype(np.int64))
    W_x = p["W_xh"] + p["b_h"]

    def run() -> None:
        with torch.inference_mode():
            last, H = start, torch.zeros(len(ids), checkpoint.config.hidden_dim)
            written = []
            for _ in range(num_chars):
                H = torch.addmm(W_x[last], H, p["W_hh"]).tanh_()
                last = torch.addmm(p["b_y"], H, p["W_hy"]).argmax(1)
                written.append(last)
            torch.stack(written).tolist()

    return run


def torch_nn(checkpoint: Checkpoint, ids: Ids, num_chars: int) -> Run:
    import torch  # type: ignore[import-not-found,unused-ignore]

    torch.set_num_threads(available_cores())
    config, p = checkpoint.config, checkpoint.parameters
    rnn = torch.nn.RNN(config.vocab_size, config.hidden_dim)
    output = torch.nn.Linear(config.hidden_dim, config.vocab_size)
    with torch.no_grad():
        rnn.weight_ih_l0.copy_(torch.from_numpy(p["W_xh"].T.copy()))
        rnn.weight_hh_l0.copy_(torch.from_numpy(p["W_hh"].T.copy()))
        rnn.bias_ih_l0.copy_(torch.from_numpy(p["b_h"]))
        rnn.bias_hh_l0.zero_()
        output.weight.copy_(torch.from_numpy(p["W_hy"].T.copy()))
        output.bias.copy_(torch.from_numpy(p["b_y"]))
    start = torch.from_numpy(ids.astype(np.int64))

    def run() -> None:
        with torch.inference_mode():
            last, H = start, torch.zeros(1, len(ids), config.hidden_dim)
            written = []
            for _ in range(num_chars):
                x = torch.nn.functional.one_hot(last, config.vocab_size).float()[None]
                Y, H = rnn(x, H)
                last = output(Y[0]).argmax(1)
                written.append(last)
            torch.stack(written).tolist()

    return run
