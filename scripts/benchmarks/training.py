"""Training speed in four configurations: `python scripts/benchmark.py train --peers` also runs PyTorch's.

Every row computes the same step: forward, backward, clipping, update. The peers need PyTorch, which the project does
not install: name a Python that has it with --torch-python, or run this under one that has both.
"""

from __future__ import annotations

import json
import platform
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
import typer
from rich.console import Console
from rich.table import Table

from model import cells
from model.config import ModelConfig
from model.training.backend import zero_state
from model.training.bptt.backend import NumpyBackend
from model.training.bptt.team import Team, num_threads
from model.training.objective import clipping_factor, global_norm
from model.training.optimizers import OPTIMIZERS

ROUNDS, ROUND_S = 3, 2.0  # the best of so many rounds of about so many seconds


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
    Case("the chapter's rnn 1×256", ModelConfig("rnn", 1, 256, 1465), 32, 35, "sgd"),
    Case("lstm 1×256", ModelConfig("lstm", 1, 256, 65), 32, 64, "adam"),
    Case("gru 1×256", ModelConfig("gru", 1, 256, 65), 32, 64, "adam"),
    Case("lstm 2×512", ModelConfig("lstm", 2, 512, 65), 32, 64, "adam"),
)

# The same step in PyTorch: one-hot rows, as the equations have them, or an embedding of size H, as is usual there.
TORCH = """
import sys, json, time, torch
from torch import nn
cell, L, H, V, N, T, optimizer, embed, rounds, round_s = json.loads(sys.argv[1])
torch.manual_seed(0)
net = {"rnn": nn.RNN, "gru": nn.GRU, "lstm": nn.LSTM}[cell](H if embed else V, H, L)
first, out = nn.Embedding(V, H), nn.Linear(H, V)
ps = [p for m in ([net, out, first] if embed else [net, out]) for p in m.parameters()]
opt = torch.optim.SGD(ps, 0.2) if optimizer == "sgd" else torch.optim.Adam(ps, 1e-3, fused=True)
data, labels = torch.randint(V, (T, N)), torch.randint(V, (T, N))
def step():
    x = first(data) if embed else nn.functional.one_hot(data, V).float()
    loss = nn.functional.cross_entropy(out(net(x)[0]).reshape(-1, V), labels.reshape(-1))
    opt.zero_grad(); loss.backward(); nn.utils.clip_grad_norm_(ps, 1.0); opt.step()
step(); best = 1e9
for _ in range(rounds):
    count, began = 0, time.perf_counter()
    while time.perf_counter() - began < round_s: step(); count += 1
    best = min(best, (time.perf_counter() - began) / count)
print(json.dumps({"seconds": best, "version": torch.__version__, "threads": torch.get_num_threads()}))
"""


def train(
    peers: Annotated[bool, typer.Option(help="Also PyTorch, with one-hot rows and with an embedding.")] = False,
    torch_python: Annotated[str, typer.Option(help="A Python that has PyTorch.")] = sys.executable,
    reference: Annotated[bool, typer.Option(help="Also the reference backend on MXNet.")] = True,
) -> None:
    """Seconds per step and characters per second of each configuration, and the share of the machine's peak."""
    peak = _peak_gflops()
    rows: list[dict[str, Any]] = []
    for case in CASES:
        row: dict[str, Any] = {"case": case.name, "nextchar_s": _ours(case, NumpyBackend(case.config))}
        row["gemm_share"] = case.flops / row["nextchar_s"] / 1e9 / peak
        if reference:
            from model.device import mx
            from model.training.reference import Reference

            row["mxnet_s"] = _ours(case, Reference(case.config, mx.cpu()))
        if peers:
            row |= {
                f"torch_{kind}_s": _torch(case, kind == "embedding", torch_python) for kind in ("onehot", "embedding")
            }
        rows.append(row)
    _print(rows)
    facts = {"peak_gflops": round(peak, 1), "threads": num_threads(), "machine": platform.machine(), "rows": rows}
    print(json.dumps({"benchmark": "train", "python": platform.python_version(), **facts}))


def _ours(case: Case, backend: Any) -> float:
    c, rng = case.config, np.random.default_rng(0)
    backend.load(cells.initial_parameters(c, rng, "uniform"))
    data, labels = (rng.integers(0, c.vocab_size, (case.N, case.T)).astype(np.int32) for _ in range(2))
    optimizer, state = OPTIMIZERS[case.optimizer](backend.weights, backend.num_decayed), zero_state(c, case.N)

    def step() -> None:
        backend.gradients(data, labels, state)
        scale = 1 / data.size
        scale *= clipping_factor(scale * global_norm(backend.gradient), 1.0)
        optimizer.update(backend.weights, backend.gradient, scale, 1e-3, 0.0, 1)

    return _best(step)


def _torch(case: Case, embed: bool, python: str) -> float:
    c = case.config
    told = [c.cell, c.num_layers, c.hidden_dim, c.vocab_size, case.N, case.T, case.optimizer, embed, ROUNDS, ROUND_S]
    done = subprocess.run([python, "-c", TORCH, json.dumps(told)], capture_output=True, text=True, check=False)
    if done.returncode:
        raise typer.BadParameter(f"{python} cannot run PyTorch: {done.stderr.strip().splitlines()[-1]}")
    return float(json.loads(done.stdout)["seconds"])


def _peak_gflops() -> float:
    """Of a 2048³ product in float32, all cores at it."""
    A, B = (np.random.default_rng(i).random((2048, 2048), np.float32) for i in range(2))
    out, team = np.empty_like(A), Team()
    return 2 * 2048**3 / _best(lambda: team.dot(A, B, out)) / 1e9


def _best(step: Callable[[], None]) -> float:
    step()
    best = float("inf")
    for _ in range(ROUNDS):
        count, began = 0, time.perf_counter()
        while time.perf_counter() - began < ROUND_S:
            step()
            count += 1
        best = min(best, (time.perf_counter() - began) / count)
    return best


def _print(rows: list[dict[str, Any]]) -> None:
    table = Table(title="training, characters per second")
    for heading in ("", "nextchar", "of GEMM peak", *(k for k in rows[0] if k.endswith("_s") and k != "nextchar_s")):
        table.add_column(heading.removesuffix("_s").replace("_", " "))
    for case, row in zip(CASES, rows, strict=True):
        chars = case.N * case.T
        others = [v for k, v in row.items() if k.endswith("_s") and k != "nextchar_s"]
        table.add_row(
            case.name, f"{chars / row['nextchar_s']:,.0f}", f"{row['gemm_share']:.0%}",
            *(f"{chars / v:,.0f} ({v / row['nextchar_s']:.2f}×)" for v in others),
        )  # fmt: skip
    Console().print(table)
