"""The same training step written with other things. Each contender does one step on the batch it is given."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from model.config import ModelConfig
from model.processor import available_cores
from model.reference import cells
from model.reference.device import mx
from model.training.backends.mxnet import MXNetBackend
from model.training.optimisation.initialise import initial_parameters
from model.training.optimisation.objective import grad_clipping

Batch = npt.NDArray[np.int32]  # (N, T)

# One-hot rows are what the equations say; an embedding of size H, a slightly larger model, is what is usual there.
TORCH: dict[str, dict[str, Any]] = {
    "PyTorch, one-hot": {"embed": False},
    "PyTorch, embedding": {"embed": True},
    "PyTorch, embedding, bfloat16": {"embed": True, "rounded": True},
}


def reference(config: ModelConfig) -> MXNetBackend:
    return MXNetBackend(config, mx.cpu())


def chapter(config: ModelConfig, data: Batch, labels: Batch) -> Callable[[], None]:
    """Literally: one-hot matrices, an output layer at each step, each parameter clipped and updated by itself."""
    ctx, rng = mx.cpu(), np.random.default_rng(0)
    parameters = {
        name: mx.nd.array(value, ctx=ctx) for name, value in initial_parameters(config, rng, "normal").items()
    }
    for parameter in parameters.values():
        parameter.attach_grad()
    entropy = mx.gluon.loss.SoftmaxCrossEntropyLoss()
    inputs, wanted = mx.nd.array(data.T, ctx=ctx), mx.nd.array(labels.T.reshape(-1), ctx=ctx)

    def step() -> None:
        state = cells.zero_state(config, len(data), ctx)
        with mx.autograd.record():
            outputs = []
            for x in inputs:
                H, state = cells.stack_step(config, cells.one_hot(x, config.vocab_size), state, parameters)
                outputs.append(cells.output(H, parameters))
            loss = entropy(mx.nd.concat(*outputs, dim=0), wanted).mean()
        loss.backward()
        grad_clipping([parameter.grad for parameter in parameters.values()], 1.0)
        for parameter in parameters.values():
            parameter[:] = parameter - 1e-3 * parameter.grad
        loss.asscalar()

    return step


def torch_step(
    config: ModelConfig, data: Batch, labels: Batch, optimizer: str, embed: bool, rounded: bool = False
) -> Callable[[], None]:
    """nn.RNN, nn.GRU or nn.LSTM with nn.Linear; with `rounded`, products are bfloat16 by torch.autocast."""
    import torch  # type: ignore[import-not-found,unused-ignore]
    from torch import nn

    torch.set_num_threads(available_cores())  # loading MXNet leaves it with one
    torch.manual_seed(0)
    H, V = config.hidden_dim, config.vocab_size
    kind = {"rnn": nn.RNN, "gru": nn.GRU, "lstm": nn.LSTM}[config.cell]
    net, output = kind(H if embed else V, H, config.num_layers), nn.Linear(H, V)
    embedding = nn.Embedding(V, H)
    parts = [net, output, embedding] if embed else [net, output]
    parameters = [p for part in parts for p in part.parameters()]
    update = torch.optim.SGD(parameters, 1e-3) if optimizer == "sgd" else torch.optim.Adam(parameters, 1e-3, fused=True)
    inputs, wanted = (torch.from_numpy(ids.T.astype(np.int64).copy()) for ids in (data, labels))

    def step() -> None:
        with torch.autocast("cpu", torch.bfloat16, enabled=rounded):
            x = embedding(inputs) if embed else nn.functional.one_hot(inputs, V).float()
            loss = nn.functional.cross_entropy(output(net(x)[0]).reshape(-1, V), wanted.reshape(-1))
        update.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(parameters, 1.0)
        update.step()

    return step
