"""The ONNX Runtime engine: the graphs of `onnx_graph`, run on the CPU or through the CUDA provider.

What was measured and kept is in docs/benchmarks.md: all cores with threads that spin are fastest for a caller that has
the machine to itself; a server lets none of them spin, because its event loop needs a core in between.
"""

from __future__ import annotations

import contextlib
import ctypes
import io
from typing import Any

import numpy as np
import onnxruntime as ort

from model.arrays import Float32s2D, Int64s, Int64s2D, State, zero_state
from model.checkpoint import Arrays
from model.config import ModelConfig
from model.engines import onnx_graph
from model.engines.fused import fuse, refuse_overflow
from model.errors import DeviceError
from model.processor import available_cores

REGISTER_FLOATS = 16  # float32 in the widest vector register of any CPU that is served
_ERRORS_ONLY = 3
MAX_THREADS = 8  # more than this only wait for each other on matrices of this size

CPU, CUDA = "CPUExecutionProvider", "CUDAExecutionProvider"


def _prepare_cuda() -> None:
    """Loads CUDA from the `nvidia-*` wheels, where the loader does not look by itself."""
    if CUDA not in ort.get_available_providers():
        raise DeviceError(
            "device: gpu cannot be used here: this onnxruntime has no CUDA provider (the extra `cuda` brings one)"
        )
    try:
        ctypes.CDLL("libcuda.so.1")
    except OSError:
        raise DeviceError(
            "device: gpu cannot be used here: no NVIDIA driver is installed (libcuda.so.1 was not found)"
        ) from None
    with contextlib.redirect_stdout(io.StringIO()):  # it prints what it misses; the session says it again
        ort.preload_dlls(directory="")


class OnnxRuntimeEngine:
    """Engine (see `decoding.engine`). Safe to call from several threads at once."""

    name = "onnxruntime"

    def __init__(
        self,
        config: ModelConfig,
        parameters: Arrays,
        device: str = "cpu",
        threads: int | None = None,
        spin: bool = True,
    ) -> None:
        """device: "cpu" or "gpu". threads: as many as the process may use unless given. spin: idle threads wait in a
        loop for the next product, which is faster and takes a core from everybody else."""
        if device == "gpu":
            _prepare_cuda()
        refuse_overflow(config, parameters)
        self.config = config
        self.device = device
        fused = fuse(config, parameters, multiple=REGISTER_FLOATS)
        self.state_dim = fused.state_dim
        options = _options(threads or min(MAX_THREADS, available_cores()), spin)
        self._step = _session(onnx_graph.step_graph(config, fused), options, device)
        self._advance = _session(onnx_graph.advance_graph(config, fused), options, device)
        self._in_names = [f"in.{name}" for name in config.state_names]
        self._given_names = [f"given.{name}" for name in config.state_names]
        if device == "gpu":  # only a step shows that its kernels and its memory are there
            try:
                self.step(np.zeros(1, np.int64), self.start(1))
            except Exception as error:
                raise DeviceError(f"device: gpu cannot be used here: {_first_line(error)}") from error

    def start(self, n: int) -> State:
        return zero_state(self.config.state_names, n, self.state_dim, np.float32)

    def step(self, ids: Int64s, state: State) -> tuple[Float32s2D, State]:
        feed: dict[str, Float32s2D | Int64s] = {"ids": ids}
        feed.update(zip(self._in_names, state, strict=True))
        logits, *new = self._step.run(None, feed)
        return logits, tuple(new)

    def advance(self, forced: Int64s2D, last: Int64s, state: State) -> tuple[Int64s2D, State]:
        feed: dict[str, Float32s2D | Int64s2D] = {"forced": forced, "last": last}
        feed.update(zip(self._given_names, state, strict=True))
        chosen, *new = self._advance.run(None, feed)
        return chosen, tuple(new)


def _options(threads: int, spin: bool) -> ort.SessionOptions:
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = _ERRORS_ONLY
    options.add_session_config_entry("session.intra_op.allow_spinning", "1" if spin else "0")
    return options


def _session(graph: bytes, options: ort.SessionOptions, device: str) -> Any:
    if device != "gpu":
        return ort.InferenceSession(graph, options, providers=[CPU])
    with contextlib.redirect_stdout(io.StringIO()):  # it prints before it falls back, which is checked here instead
        try:
            session = ort.InferenceSession(graph, options, providers=[CUDA, CPU])
        except Exception as error:  # its exceptions have no common class of their own
            raise DeviceError(f"device: gpu cannot be used here: {_first_line(error)}") from error
    if CUDA not in session.get_providers():
        raise DeviceError("device: gpu cannot be used here: ONNX Runtime could not start its CUDA provider")
    return session


def _first_line(error: Exception) -> str:
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
