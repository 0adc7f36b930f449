"""The examples of docs/http.md, docs/formats.md and docs/library.md run, and answer in the shape that is shown."""

from __future__ import annotations

import contextlib
import hashlib
import io
import itertools
import json
import re
import runpy
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy
from fastapi.testclient import TestClient

from model import checkpoint as checkpoints
from model.training.options import TrainingOptions
from tests.app.conftest import client_of
from tests.contract.pages import FORMATS, HTTP, LIBRARY, blocks
from tests.models import CELLS, random_checkpoint

URL = "http://127.0.0.1:8000"
# The options that a version wrote before backends and options had their present names.
OPTIONS_BEFORE = {
    "averaging": 0.0, "backend": "numpy", "batch_size": 2, "carry_state": False, "cell": "gru", "clipping_theta": 1.0,
    "device": "auto", "dropout_input": 0.0, "dropout_layers": 0.0, "dropout_output": 0.2, "epochs": 2, "eval_every": 1,
    "final_rate": 0.02, "hidden_dim": 3, "hold": 0.6, "initialisation": "uniform", "learning_rate": 0.004,
    "loss_reduction": "mean", "num_layers": 1, "num_steps": 4, "optimizer": "adam", "patience": None, "pred_len": 50,
    "pred_period": 10, "prefixes": [], "sampling": "consecutive", "save_every_s": 30.0, "schedule": "linear", "seed": 0,
    "time_budget_s": 40.0, "validation_fraction": 0.0, "warmup": 0.0, "weight_decay": 0.0,
}  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    models = tmp_path_factory.mktemp("checkpoints")
    characters = "".join(sorted({*"分开不了 ", *map(chr, range(0x4E00, 0x4E10))}))
    checkpoints.save(models / "lyrics", random_checkpoint("gru", characters=characters, scale=4.0))
    return models


@pytest.fixture(scope="module")
def client(folder: Path) -> Iterator[TestClient]:
    with client_of(folder, default_model="lyrics") as client:
        yield client


def ask(client: TestClient, command: str, digest: str, token: str) -> Any:
    """What a command line of curl asks."""
    command = re.sub(r"-[0-9a-f]{16}\b", f"-{digest[:16]}", command).replace("TOKEN", token)
    curl, *words = shlex.split(command.replace("\\\n", " "))
    assert curl == "curl"
    address, headers, data = "", {}, []
    for word in words:
        if word.startswith(URL):
            address = word.removeprefix(URL)
    for option, value in itertools.pairwise(words):
        if option == "-H":
            name, _, content = value.partition(": ")
            headers[name] = content
        elif option == "-d":
            data.append(value)
    if not data:
        return client.get(address, headers=headers)
    headers = {"Content-Type": "application/x-www-form-urlencoded", **headers}
    return client.post(address, headers=headers, content="&".join(data).encode())


def shape(value: Any) -> Any:
    """The keys and types of JSON, without its values. Characters as keys and a training record are values."""
    if isinstance(value, dict):
        return {
            ("character" if len(key) == 1 else key): shape(inner) for key, inner in value.items() if key != "training"
        }
    if isinstance(value, list):
        return [shape(value[0])] if value else []
    return "number" if isinstance(value, int | float) and not isinstance(value, bool) else type(value).__name__


def events(text: str) -> list[tuple[str, Any]]:
    """What kinds of lines a stream has, with the shape of their data."""
    found = []
    for name, value in re.findall(r"^(event|data|id): (.*)$", text, re.M):
        if name == "data" and value != "[DONE]":
            found.append(("data", json.dumps(shape(json.loads(value)), sort_keys=True)))
        else:
            found.append((name, value if name != "id" or value == "done" else re.sub("[0-9]+", "0", value)[:9]))
    return sorted(set(found))


def test_the_commands_are_answered_in_the_shape_that_is_shown(client: TestClient) -> None:
    digest, token, done = client.get("/models/lyrics").json()["digest"], "", []
    for (kind, command), (kind_after, shown) in itertools.pairwise([*blocks(HTTP), ("", "")]):
        if kind != "sh":
            assert kind in ("json", "text", "http", "console"), kind
            continue
        answer = ask(client, command, digest, token)
        if kind_after == "http":
            head, _, body = shown.partition("\n\n")
            status, *lines = head.splitlines()
            assert status.split(" ")[1] == str(answer.status_code)
            assert {line.partition(":")[0] for line in lines} == set(answer.headers)
            assert shape(json.loads(body)) == shape(answer.json()), command
        elif kind_after == "json":
            assert shape(json.loads(shown)) == shape(answer.json()), command
            token = answer.json().get("state", token)
        elif "metrics" in command:
            named = [line.partition("{")[0] for line in shown.splitlines()]
            assert all(f"\n{name}{{" in answer.text for name in named)
        else:
            assert events(shown) == events(answer.text), command
        done.append(kind_after)
    assert (done.count("json"), done.count("text"), done.count("http")) == (11, 4, 1)


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The program that docs/formats.md reads a model with."""
    ((_, code),) = blocks(FORMATS, "python")
    file = tmp_path_factory.mktemp("reader") / "reader.py"
    file.write_text(code, "utf-8")
    return file


def read(reader: Path, file: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setattr(sys, "argv", [str(reader), str(file)])
    written = io.StringIO()
    with contextlib.redirect_stdout(written):
        runpy.run_path(str(reader), run_name="__main__")
    return written.getvalue()


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("num_layers", [1, 2])
def test_the_reader_takes_every_model_and_names_its_tensors(
    reader: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cell: str, num_layers: int
) -> None:
    checkpoint = random_checkpoint(cell, num_layers)
    checkpoints.save(tmp_path, checkpoint)
    lines = [f"{name} float32 {array.shape}" for name, array in sorted(checkpoint.parameters.items())]
    assert read(reader, tmp_path / "model.safetensors", monkeypatch).splitlines() == lines


def test_the_reader_notices_one_bit_anywhere(reader: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    checkpoints.save(tmp_path, random_checkpoint(hidden_dim=2))
    file = tmp_path / "model.safetensors"
    data = file.read_bytes()
    for at in (8 + data[8:].index(b"rnn"), len(data) // 2, len(data) - 1):
        file.write_bytes(data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :])
        with pytest.raises(AssertionError, match="damaged"):
            read(reader, file, monkeypatch)


def by_hand(options: dict[str, Any]) -> bytes:
    """A model file as the document describes it, made without the code that writes one."""
    config = {"cell": "gru", "hidden_dim": 3, "lowercase": True, "newlines": "space", "normalisation": "NFC"}
    training = {"backend": options["backend"], "epochs": 2, "options": options, "seconds": 23.9}
    metadata = {
        "format": "nextchar/1",
        "config": json.dumps({**config, "num_layers": 1, "vocab_size": 4}, separators=(",", ":")),
        "vocabulary": json.dumps(list(" abc"), separators=(",", ":")),
        "training": json.dumps(training, separators=(",", ":")),
        "digest": "0" * 64,
    }
    shapes: dict[str, tuple[int, ...]] = {"W_hy": (3, 4), "b_y": (4,)}
    for gate in "zrh":
        shapes |= {f"W_x{gate}": (4, 3), f"W_h{gate}": (3, 3), f"b_{gate}": (3,)}
    unsigned = safetensors.numpy.save({name: np.ones(shape, np.float32) for name, shape in shapes.items()}, metadata)
    return unsigned.replace(b"0" * 64, hashlib.sha256(unsigned).hexdigest().encode())


def test_a_model_file_of_an_earlier_version_is_read(
    reader: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "model.safetensors"
    file.write_bytes(by_hand(OPTIONS_BEFORE))
    checkpoint = checkpoints.load(file)
    assert (checkpoint.config.cell, "".join(checkpoint.vocabulary.characters)) == ("gru", " abc")
    assert TrainingOptions.from_record(checkpoint.training["options"]).backend == "cpu"  # it was called numpy
    assert len(read(reader, file, monkeypatch).splitlines()) == len(checkpoint.parameters)


def test_the_librarys_example_runs(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ((_, code),) = blocks(LIBRARY, "python")
    written = io.StringIO()
    with contextlib.redirect_stdout(written):
        exec(code.replace("checkpoints/lyrics", str(folder / "lyrics")), {})
    described, one, other, score = written.getvalue().splitlines()
    assert described.startswith("<LanguageModel gru")
    assert (len(one), len(other)) == (2 + 20, 3 + 20)
    assert len(score.split()) >= 4
