from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from model.checkpoint import FILE_NAME, Checkpoint, load, parse, save
from model.config import GATES, ModelConfig
from model.errors import CheckpointError
from model.files import serialise
from model.text.rules import TextRules
from tests.models import random_checkpoint


def small() -> Checkpoint:
    return random_checkpoint("rnn", hidden_dim=2, characters="abc")


def same(a: Checkpoint, b: Checkpoint) -> bool:
    return (
        (a.config, a.rules, a.vocabulary, a.training) == (b.config, b.rules, b.vocabulary, b.training)
        and list(a.parameters) != []
        and all((a.parameters[name] == b.parameters[name]).all() for name in a.config.parameter_shapes())
    )


@pytest.mark.parametrize("cell", GATES)
def test_what_was_saved_is_what_is_loaded(tmp_path: Path, cell: str) -> None:
    original = random_checkpoint(cell, 2, rules=TextRules(lowercase=False, newlines="keep"))
    digest = save(tmp_path / "m", original)
    loaded = load(tmp_path / "m")
    assert same(original, loaded)
    assert loaded.digest == digest
    assert [p.name for p in (tmp_path / "m").iterdir()] == [FILE_NAME]


def test_the_same_checkpoint_gives_the_same_bytes_in_another_process(tmp_path: Path) -> None:
    save(tmp_path / "a", small())
    program = "import sys; from tests.model.test_checkpoint import *; save(sys.argv[1], small())"
    subprocess.run([sys.executable, "-W", "ignore", "-c", program, str(tmp_path / "b")], check=True, cwd=Path.cwd())
    assert (tmp_path / "a" / FILE_NAME).read_bytes() == (tmp_path / "b" / FILE_NAME).read_bytes()


def test_any_other_safetensors_reader_can_read_it(tmp_path: Path) -> None:
    import safetensors

    save(tmp_path / "m", small())
    with safetensors.safe_open(tmp_path / "m" / FILE_NAME, framework="numpy") as file:
        assert file.metadata()["format"] == "nextchar/1"
        np.testing.assert_array_equal(file.get_tensor("W_hy"), small().parameters["W_hy"])


def test_every_truncation_is_refused(tmp_path: Path) -> None:
    save(tmp_path / "m", small())
    data = (tmp_path / "m" / FILE_NAME).read_bytes()
    for length in range(len(data)):
        with pytest.raises(CheckpointError):
            parse(data[:length], "m")


@pytest.mark.parametrize("mask", [0x01, 0x20, 0xFF])
def test_every_flipped_byte_is_refused(tmp_path: Path, mask: int) -> None:
    save(tmp_path / "m", small())
    data = (tmp_path / "m" / FILE_NAME).read_bytes()
    for at in range(len(data)):
        flipped = data[:at] + bytes([data[at] ^ mask]) + data[at + 1 :]
        with pytest.raises(CheckpointError):
            parse(flipped, "m")


def test_bytes_behind_the_end_are_refused(tmp_path: Path) -> None:
    save(tmp_path / "m", small())
    with pytest.raises(CheckpointError, match="digest does not match"):
        parse((tmp_path / "m" / FILE_NAME).read_bytes() + b"\0", "m")


def signed(changes: dict[str, str | None] | None = None, arrays: dict[str, Any] | None = None) -> bytes:
    """A file whose digest is right and whose contents are as a careless or hostile writer made them."""
    metadata = {
        "format": "nextchar/1",
        "config": '{"cell":"rnn","num_layers":1,"hidden_dim":2,"vocab_size":3,"lowercase":true,"newlines":"space",'
        '"normalisation":"NFC"}',
        "vocabulary": '["a","b","c"]',
        "training": "{}",
        **(changes or {}),
    }
    kept = {key: value for key, value in metadata.items() if value is not None}
    return serialise({**small().parameters, **(arrays or {})}, kept)[0]


def test_the_file_those_cases_start_from_is_good() -> None:
    assert same(parse(signed(), "m"), replace(small(), training={}))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"format": "nextchar/2"}, "format is 'nextchar/2', this version reads 'nextchar/1'"),
        ({"format": None}, "format is None"),
        ({"config": None}, "not a nextchar/1 checkpoint"),
        ({"config": "[]"}, "not a nextchar/1 checkpoint"),
        ({"config": "{"}, "not a nextchar/1 checkpoint"),
        ({"config": '{"cell":"rnn"}'}, "not a nextchar/1 checkpoint"),
        ({"vocabulary": '["a","b"]'}, "vocabulary has 2 characters, its configuration says 3"),
        ({"vocabulary": '["b","a","c"]'}, "not a nextchar/1 checkpoint"),
        ({"vocabulary": "[1,2,3]"}, "not a nextchar/1 checkpoint"),
        ({"vocabulary": '{"a":0,"b":1,"c":2}'}, "its vocabulary is not a list"),
        ({"vocabulary": '"abc"'}, "its vocabulary is not a list"),
        ({"vocabulary": '[["a"],["b"],["c"]]'}, "not a nextchar/1 checkpoint"),
        ({"vocabulary": '["a","b","\\ud800"]'}, "half of a surrogate pair"),
        ({"vocabulary": "[" * 100_000}, "not a nextchar/1 checkpoint"),
        ({"config": "[" * 100_000}, "not a nextchar/1 checkpoint"),
        ({"training": "nonsense"}, "not a nextchar/1 checkpoint"),
        ({"training": "[]"}, "its training record is not an object"),
        ({"training": '{"a":"\\ud800"}'}, "not a nextchar/1 checkpoint"),
        ({"training": '{"a":' * 100_000}, "not a nextchar/1 checkpoint"),
        ({"training": '{"a":' * 500 + "1" + "}" * 500}, "its training record nests deeper than"),
        ({"training": '{"a":' + "9" * 5000 + "}"}, "not a nextchar/1 checkpoint"),
    ],
)
def test_metadata_that_does_not_hold_together_is_refused(changes: dict[str, str | None], message: str) -> None:
    with pytest.raises(CheckpointError, match=message):
        parse(signed(changes), "m")


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"W_hh": np.zeros((2, 3), np.float32)}, r"W_hh has shape \(2, 3\), its configuration says \(2, 2\)"),
        ({"W_hh": np.zeros((2, 2), np.float64)}, "W_hh is float64, it must be float32"),
        ({"b_y": np.array([0, np.nan, 0], np.float32)}, "b_y holds values that are not finite"),
        ({"b_y": np.array([0, np.inf, 0], np.float32)}, "b_y holds values that are not finite"),
        ({"W_more": np.zeros((1,), np.float32)}, "missing \\[\\], unknown \\['W_more'\\]"),
    ],
)
def test_tensors_that_do_not_fit_the_configuration_are_refused(arrays: dict[str, Any], message: str) -> None:
    with pytest.raises(CheckpointError, match=message):
        parse(signed(arrays=arrays), "m")


def test_figures_that_are_not_finite_are_saved_as_words(tmp_path: Path) -> None:
    diverged = {"train_perplexity": float("inf"), "history": [{"epoch": 1, "train_perplexity": float("nan")}]}
    save(tmp_path / "m", replace(small(), training=diverged))
    assert load(tmp_path / "m").training == {
        "train_perplexity": "inf",
        "history": [{"epoch": 1, "train_perplexity": "nan"}],
    }


def test_a_record_that_another_program_wrote_with_figures_that_json_does_not_have_loads_with_none_in_their_place() -> (
    None
):
    record = '{"train_perplexity": Infinity, "history": [{"epoch": 1, "train_perplexity": NaN}]}'
    assert parse(signed({"training": record}), "m").training == {
        "train_perplexity": None,
        "history": [{"epoch": 1, "train_perplexity": None}],
    }


def test_weights_that_are_not_finite_are_not_saved_either(tmp_path: Path) -> None:
    save(tmp_path / "m", small())
    before = (tmp_path / "m" / FILE_NAME).read_bytes()
    broken = small()
    broken.parameters["b_y"][1] = np.nan
    with pytest.raises(CheckpointError, match="not saved, b_y holds values that are not finite"):
        save(tmp_path / "m", broken)
    assert (tmp_path / "m" / FILE_NAME).read_bytes() == before


def test_a_missing_file_and_one_that_is_no_checkpoint_are_named(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="no such file"):
        load(tmp_path / "nothing")
    (tmp_path / "a.safetensors").write_bytes(b"hello, I am a text")
    with pytest.raises(CheckpointError, match=r"a\.safetensors: is not a safetensors file"):
        load(tmp_path / "a.safetensors")


@pytest.mark.parametrize("step", ["write", "fsync", "replace"])
def test_a_full_disk_keeps_the_old_file_and_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    old = small()
    save(tmp_path / "m", old)

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    if step == "write":
        real = os.fdopen

        def fdopen(*arguments: Any) -> Any:
            file = real(*arguments)
            return type("Full", (), {"__enter__": lambda s: s, "__exit__": lambda *_: file.close(), "write": full})()

        monkeypatch.setattr("model.files.os.fdopen", fdopen)
    else:
        monkeypatch.setattr(f"model.files.os.{step}", full)
    with pytest.raises(CheckpointError, match=r"not saved \(No space left on device\)"):
        save(tmp_path / "m", random_checkpoint(seed=9))
    monkeypatch.undo()
    assert same(load(tmp_path / "m"), old)
    assert [p.name for p in (tmp_path / "m").iterdir()] == [FILE_NAME]


def test_a_disk_that_gives_back_other_bytes_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Path, "read_bytes", lambda _: b"other")
    with pytest.raises(CheckpointError, match="gave back other bytes"):
        save(tmp_path / "m", small())


KILLED = """
import os, signal, sys
from tests.model.test_checkpoint import *

def kill(*_, **__):
    os.kill(os.getpid(), signal.SIGKILL)

step = sys.argv[2]
if step == "after":
    save(sys.argv[1], random_checkpoint(seed=9))
    kill()
if step == "half-written":
    real = os.fdopen
    class Half:
        def __init__(self, file): self.file = file
        def __enter__(self): return self
        def __exit__(self, *_): self.file.close()
        def write(self, data):
            self.file.write(data[: len(data) // 2])
            self.file.flush()
            kill()
    os.fdopen = lambda *a: Half(real(*a))
elif step == "folder":
    replace_file = os.replace
    def replace_then_arm(*a):
        replace_file(*a)
        os.fsync = kill
    os.replace = replace_then_arm
else:
    owner, name = {"create": (os, "open"), "read": (Path, "read_bytes")}.get(step, (os, step))
    setattr(owner, name, kill)
save(sys.argv[1], random_checkpoint(seed=9))
"""


@pytest.mark.parametrize("step", ["create", "half-written", "fsync", "read", "replace", "folder", "after"])
def test_a_kill_at_any_step_of_a_save_leaves_a_file_that_loads(tmp_path: Path, step: str) -> None:
    save(tmp_path / "m", small())
    command = [sys.executable, "-W", "ignore", "-c", KILLED, str(tmp_path / "m"), step]
    result = subprocess.run(command, cwd=Path.cwd(), capture_output=True, check=False)
    assert result.returncode == -signal.SIGKILL, result.stderr
    loaded = load(tmp_path / "m")
    assert same(loaded, random_checkpoint(seed=9) if step in ("folder", "after") else small())


def test_a_checkpoint_depends_on_every_part_of_it() -> None:
    digests = {
        serialise(c.parameters, {"config": str(c.config), "vocabulary": str(c.vocabulary.characters)})[1]
        for c in (small(), random_checkpoint("gru", hidden_dim=2, characters="abc"), random_checkpoint(seed=1))
    }
    assert len(digests) == 3
    assert ModelConfig("rnn", 1, 2, 3) == small().config
