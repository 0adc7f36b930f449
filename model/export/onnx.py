"""A model as one self-contained ONNX step, checked against the reference before it is written."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import numpy as np
import onnx
import onnxruntime

from model.arrays import zero_state
from model.checkpoint import Checkpoint
from model.config import ModelConfig
from model.engines.fused import fuse
from model.engines.onnx_graph import step_graph
from model.errors import CheckpointError, DeviceError
from model.files import write_atomically
from model.training.backend import Backend
from model.training.backends.choice import open_backend

CHECKED_STEPS, CHECKED_ROWS = 32, 3
TOLERANCE = 1e-4  # of logits, absolute


def to_onnx(checkpoint: Checkpoint) -> bytes:
    """An ONNX model of one step: ids (N,) int64 and `in.<state>` (N, H) ↦ logits (N, V) and the new states.

    Its metadata holds what a caller needs: `vocabulary`, `config` and `text_rules` as JSON, `digest`.
    """
    proto = onnx.load_from_string(step_graph(checkpoint.config, fuse(checkpoint.config, checkpoint.parameters)))
    facts = {
        "vocabulary": json.dumps(list(checkpoint.vocabulary.characters), ensure_ascii=False),
        "config": json.dumps(asdict(checkpoint.config)),
        "text_rules": json.dumps(asdict(checkpoint.rules)),
        "digest": checkpoint.digest,
    }
    onnx.helper.set_model_props(proto, facts)
    return bytes(proto.SerializeToString())


def onnx_difference(data: bytes, checkpoint: Checkpoint) -> float:
    """The largest difference of a logit between ONNX Runtime and the reference, over some steps from a zero state."""
    config = checkpoint.config
    reference = _reference(config)
    reference.load(checkpoint.parameters)
    session = onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])
    rng = np.random.default_rng(0)
    ours = theirs = zero_state(config.state_names, CHECKED_ROWS, config.hidden_dim, np.float32)
    worst = 0.0
    for _ in range(CHECKED_STEPS):
        ids = rng.integers(0, config.vocab_size, CHECKED_ROWS)
        expected, theirs = reference.step(ids.astype(np.int32), theirs)
        feeds = {"ids": ids.astype(np.int64)} | {f"in.{n}": a for n, a in zip(config.state_names, ours, strict=True)}
        logits, *state = session.run(["logits", *config.state_names], feeds)
        ours = tuple(np.asarray(array) for array in state)
        worst = max(worst, float(np.abs(np.asarray(logits) - expected).max()))
    return worst


def _reference(config: ModelConfig) -> Backend:
    """MXNet's backend; where MXNet does not exist, that for CPUs, which computes without ONNX Runtime too."""
    try:
        return open_backend("mxnet", "cpu", config)
    except DeviceError:
        return open_backend("cpu", "cpu", config)


def write_onnx(checkpoint: Checkpoint, file: Path) -> float:
    """Writes the model and returns its difference from the reference; raises CheckpointError where that is large."""
    data = to_onnx(checkpoint)
    difference = onnx_difference(data, checkpoint)
    if not difference <= TOLERANCE:
        raise CheckpointError(f"{file}: not written, ONNX Runtime's logits are {difference:.1e} from the reference's")
    write_atomically(file, data)
    return difference
