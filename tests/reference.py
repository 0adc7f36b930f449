"""The reference on MXNet, for tests that are judged by it, on platforms that MXNet exists for.

Where it exists it must load: nothing is skipped there. Elsewhere tests that need it are skipped (`needs_mxnet`), and
`predict_rnn` is the book's equations in NumPy, which write the same text (tests/model/reference/test_prediction.py).
"""

from __future__ import annotations

import platform
import sys
from typing import TYPE_CHECKING, Any

import pytest

from tests.book import book_predict
from tests.programs import NO_MXNET

# As the markers in pyproject.toml say; tests/test_platforms.py compares.
MXNET_EXISTS = (
    sys.platform == "linux" and platform.machine() in ("x86_64", "aarch64") and sys.version_info[:2] < (3, 13)
)
__all__ = [
    "MXNET_EXISTS",
    "MXNetBackend",
    "MXNetEngine",
    "cells",
    "chapter",
    "device",
    "mx",
    "named",
    "needs_mxnet",
    "on_context",
    "predict_rnn",
]  # fmt: skip
needs_mxnet = pytest.mark.skipif(not MXNET_EXISTS, reason=NO_MXNET)

if TYPE_CHECKING or MXNET_EXISTS:
    from model.engines.mxnet import MXNetEngine
    from model.reference import cells, chapter, device
    from model.reference.device import mx
    from model.reference.prediction import on_context, predict_rnn
    from model.training.backends.mxnet import MXNetBackend
else:
    cells = chapter = device = mx = on_context = MXNetEngine = MXNetBackend = None
    predict_rnn = book_predict


def named(name: str, *, slow: bool = False) -> Any:
    """The name of an engine or a backend as a parameter of a test, skipped where it needs MXNet and there is none."""
    marks = [needs_mxnet] if name == "mxnet" else []
    return pytest.param(name, marks=[*marks, pytest.mark.slow] if slow else marks)
