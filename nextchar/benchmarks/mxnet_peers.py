"""What decoding and training are compared with where MXNet exists: the reference backend, and the chapter's own way.

Importing this raises DeviceError where MXNet does not exist.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from model.checkpoint import Checkpoint
from model.config import ModelConfig
from model.reference import cells
from model.reference.device import mx
from model.reference.prediction import predict_rnn
from model.training.backends.mxnet import MXNetBackend
from model.training.optimisation.initialise import initial_parameters
from model.training.optimisation.objective import grad_clipping

Batch = npt.NDArray[np.int32]  # (N, T)


def written(checkpoint: Checkpoint, prefix: str, num_chars: int) -> Callable[[], str]:
    return lambda: predict_rnn(prefix, num_chars, checkpoint)


def reference(config: ModelConfig) -> MXNetBackend:
    return MXNetBackend(config, mx.cpu())


def chapter_step(config: ModelConfig, data: Batch, labels: Batch) -> Callable[[], None]:
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
