"""Measures training: a step (forward, backward, clipping, update) of each configuration, by all that can compute it."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from model.arrays import zero_state
from model.config import ModelConfig
from model.kernels import bfloat16
from model.training.backend import Backend
from model.training.backends.cpu.backend import CpuBackend
from model.training.optimisation.initialise import initial_parameters
from model.training.optimisation.objective import clipping_factor, global_norm
from model.training.optimisation.optimizers import OPTIMIZERS
from nextchar.benchmarks import training_peers
from nextchar.benchmarks.measuring import interleaved, mxnet_peers, ratio
from nextchar.benchmarks.models import CHAPTER

TURN_S = 1.0
PEAK_SIZE = 2048  # rows and columns of the product that measures the machine's peak


@dataclass(frozen=True)
class Case:
    name: str
    config: ModelConfig
    N: int
    T: int
    optimizer: str

    @property
    def flops(self) -> int:
        """Of the products of one step: twice as much backwards as forwards; a one-hot product is a look-up."""
        c = self.config
        H, G = c.hidden_dim, len(c.gates)
        return 6 * self.N * self.T * (G * H * H * (2 * c.num_layers - 1) + H * c.vocab_size)


CASES = (
    Case("the chapter's rnn 1×256, 32 × 35, V = 1465", CHAPTER, 32, 35, "sgd"),
    Case("lstm 1×256, 32 × 64, V = 65", ModelConfig("lstm", 1, 256, 65), 32, 64, "adam"),
    Case("gru 1×256, 32 × 64, V = 65", ModelConfig("gru", 1, 256, 65), 32, 64, "adam"),
    Case("lstm 2×512, 32 × 64, V = 65", ModelConfig("lstm", 2, 512, 65), 32, 64, "adam"),
)


def measure(case: Case, rounds: int, with_torch: bool) -> dict[str, Any]:
    """Of each contender: characters per second (median), share of the GEMM peak, and how much faster nextchar is."""
    rng = np.random.default_rng(0)
    data, labels = (rng.integers(0, case.config.vocab_size, (case.N, case.T)).astype(np.int32) for _ in range(2))
    contenders: dict[str, Callable[[], Any]] = {"nextchar": _ours(case, CpuBackend(case.config), data, labels)}
    if bfloat16.available():
        rounded = CpuBackend(case.config, precision="bfloat16")
        contenders["nextchar, bfloat16"] = _ours(case, rounded, data, labels)
    if (mxnet := mxnet_peers()) is not None:
        contenders["MXNet, the reference backend"] = _ours(case, mxnet.reference(case.config), data, labels)
        if case.config == CHAPTER:
            contenders["MXNet, the chapter's way"] = mxnet.chapter_step(case.config, data, labels)
    if with_torch:
        for name, options in training_peers.TORCH.items():
            contenders[name] = training_peers.torch_step(case.config, data, labels, case.optimizer, **options)
    contenders["peak"] = _peak()
    times = interleaved(contenders, rounds, TURN_S)
    peak = 2 * PEAK_SIZE**3 / statistics.median(times.pop("peak"))
    return {
        name: {
            "chars_per_s": round(data.size / statistics.median(own)),
            "of_peak": round(case.flops / statistics.median(own) / peak, 2),
            "nextchar_is": round(ratio(times, "nextchar", name), 2),
        }
        for name, own in times.items()
    } | {"peak_gflops": round(peak / 1e9, 1)}


def _ours(case: Case, backend: Backend, data: Any, labels: Any) -> Callable[[], None]:
    backend.load(initial_parameters(case.config, np.random.default_rng(0), "uniform"))
    optimizer = OPTIMIZERS[case.optimizer](backend.weights, backend.num_decayed)
    state = zero_state(case.config.state_names, case.N, case.config.hidden_dim, np.float32)

    def step() -> None:
        backend.gradients(data, labels, state)
        scale = 1 / data.size
        scale *= clipping_factor(scale * global_norm(backend.gradient), 1.0)
        optimizer.update(backend.weights, backend.gradient, scale, 1e-3, 0.0, 1)

    return step


def _peak() -> Callable[[], Any]:
    """A square product in float32 by NumPy's BLAS, all cores at it."""
    A, B = (np.random.default_rng(i).random((PEAK_SIZE, PEAK_SIZE), np.float32) for i in range(2))
    out = np.empty_like(A)
    return lambda: np.dot(A, B, out=out)
