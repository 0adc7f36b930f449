from __future__ import annotations

import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from model.config import ModelConfig
from model.errors import TrainingError
from model.text.corpus import Corpus
from model.text.encoding import encode
from model.text.rules import TextRules
from model.training import Trainer, TrainingOptions, memory
from model.training.run import run

GIB = 2**30


def machine(root: Path, available: str | None = None, **group: str) -> Path:
    """A root with files as the kernel shows them. group: names of files with `__` for `/` and `_` for `.`"""
    if available is not None:
        (root / "proc").mkdir()
        (root / "proc" / "meminfo").write_text(f"MemTotal:       99999999 kB\nMemAvailable:   {available} kB\n")
    for name, text in group.items():
        file = root / "sys" / "fs" / "cgroup" / name.replace("__", "/").replace("_max", ".max").replace("_cur", ".cur")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return root


@pytest.mark.parametrize(
    ("files", "free"),
    [
        ({}, None),
        ({"available": "2048"}, 2 * 2**20),
        ({"available": "much"}, None),
        ({"available": "2048", "memory_max": "max\n", "memory_current": "5\n"}, 2 * 2**20),
        ({"available": "2048", "memory_max": "1000\n", "memory_current": "400\n"}, 600),
        ({"available": "2048", "memory_max": "1000\n", "memory_current": "1400\n"}, 0),
        ({"memory_max": "1000\n", "memory_current": "400\n"}, 600),
    ],
)
def test_what_is_free_is_what_the_machine_and_the_container_have(
    tmp_path: Path, files: dict[str, str], free: int | None
) -> None:
    assert memory.free_bytes(machine(tmp_path, **files)) == free


def test_a_container_of_the_first_version_has_a_limit_too(tmp_path: Path) -> None:
    folder = tmp_path / "sys" / "fs" / "cgroup" / "memory"
    folder.mkdir(parents=True)
    (folder / "memory.limit_in_bytes").write_text("5000\n")
    (folder / "memory.usage_in_bytes").write_text("2000\n")
    assert memory.free_bytes(tmp_path) == 3000


def test_a_run_that_needs_more_than_is_free_is_refused_by_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "free_bytes", lambda: round(4.1 * GIB))
    corpus = encode(Corpus("a", "abcdefgh" * 1000, "0" * 64), TextRules())
    options = TrainingOptions(cell="lstm", num_layers=4, hidden_dim=8192, optimizer="adam", device="cpu")
    with pytest.raises(TrainingError) as error:
        Trainer(corpus, options)
    assert str(error.value) == (
        "training needs about 134.3 GiB of memory, 4.1 are free: lower --hidden-dim (it is 8,192), --num-layers (4), "
        "--batch-size (32) or --num-steps (35)"
    )
    monkeypatch.setattr(memory, "free_bytes", lambda: None)
    memory.check(ModelConfig("lstm", 4, 8192, 8), options)  # where nothing is known, nothing is refused


@pytest.mark.slow
@pytest.mark.parametrize(
    ("cell", "optimizer", "layers", "hidden_dim", "rows", "steps", "distinct"),
    [("gru", "sgd", 2, 96, 128, 64, 40), ("lstm", "adam", 1, 384, 4, 8, 50), ("rnn", "adam", 1, 32, 32, 32, 4000)],
)
def test_what_is_reckoned_is_about_what_is_taken(
    tmp_path: Path, cell: str, optimizer: str, layers: int, hidden_dim: int, rows: int, steps: int, distinct: int
) -> None:
    drawn = np.random.default_rng(0).integers(0, distinct, 20_000)
    corpus = encode(Corpus("a", "".join(chr(0x4E00 + i) for i in drawn), "0" * 64), TextRules())
    options = TrainingOptions(
        cell=cell, num_layers=layers, hidden_dim=hidden_dim, batch_size=rows, num_steps=steps, optimizer=optimizer,
        learning_rate=1e-4, averaging=0.9, sampling="consecutive", validation_fraction=0.1, steps=1, device="cpu",
        backend="cpu", pred_len=1, save_every_s=0, precision="auto",
    )  # fmt: skip
    for _ in run(Trainer(corpus, options), tmp_path / "first"):  # compiles, and takes what is taken once
        pass
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        trainer = Trainer(corpus, options)
        for _ in run(trainer, tmp_path / "second"):
            pass
        taken = tracemalloc.get_traced_memory()[1] - before
    finally:
        tracemalloc.stop()
    assert 0.6 < memory.needed_bytes(trainer.config, options) / taken < 1.7
