"""The same training step written with other things. Each contender does one step on the batch it is given."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from model.config import ModelConfig
from model.processor import available_cores

Batch = npt.NDArray[np.int32]  # (N, T)

# One-hot rows are what the equations say; an embedding of size H, a slightly larger model, is what is usual there.
TORCH: dict[str, dict[str, Any]] = {
    "PyTorch, one-hot": {"embed": False},
    "PyTorch, embedding": {"embed": True},
    "PyTorch, embedding, bfloat16": {"embed": True, "rounded": True},
}


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
