"""docs/formats.md describes every file, its keys, tensors and shapes."""

from __future__ import annotations

import json
import re
from dataclasses import fields
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import onnx
import pytest
from safetensors import safe_open

from app.serving.look import DEFAULT_FILE
from model import checkpoint as checkpoints
from model.checkpoint import FILE_NAME, FORMAT
from model.config import GATES, ModelConfig
from model.export.mxnet import CHAPTER_ORDER
from model.export.onnx import to_onnx
from model.text.held_out import Split
from model.text.source import Reading, Source
from model.training.options import TrainingOptions
from model.training.position import Position
from model.training.report.events import EpochDone
from model.training.report.journal import METRICS_NAME, PICTURE_NAME, SAMPLES_NAME, TENSORBOARD_NAME
from model.training.report.record import HISTORY, training_record
from model.training.run import RESUME_FORMAT, RESUME_NAME
from model.versions import FOLDER_NAME, MODEL_NAME
from tests.contract.pages import FORMATS, names, table
from tests.models import random_checkpoint


def test_the_files_of_a_model_are_described() -> None:
    of_a_model = [
        FILE_NAME,
        f"{FOLDER_NAME}/<digest>.safetensors",
        RESUME_NAME,
        METRICS_NAME,
        SAMPLES_NAME,
        PICTURE_NAME,
    ]
    of_a_model.append(f"{TENSORBOARD_NAME}/")
    assert names(FORMATS, "path") == sorted([*(f"<name>/{file}" for file in of_a_model), DEFAULT_FILE])
    assert f"`{MODEL_NAME.pattern}`" in FORMATS


def test_the_metadata_of_a_model_file_are_described(tmp_path: Path) -> None:
    checkpoints.save(tmp_path, random_checkpoint())
    with safe_open(tmp_path / "model.safetensors", "numpy") as file:
        metadata = file.metadata()
    assert names(FORMATS, "key") == sorted(metadata)
    assert names(FORMATS, "key of `config`") == sorted(json.loads(metadata["config"]))
    assert dict(table(FORMATS, "key"))["format"] == FORMAT == metadata["format"]
    assert f"`{RESUME_FORMAT}`" in FORMATS


@pytest.mark.parametrize("num_layers", [1, 2])
@pytest.mark.parametrize("cell", GATES)
def test_the_tensors_of_a_model_file_are_described(cell: str, num_layers: int) -> None:
    V, H = 7, 5
    of_layers = re.findall(r"\w+", dict(table(FORMATS, "cell"))[cell])
    shapes = dict(table(FORMATS, "tensor"))
    expected = {name: shapes[name] for name in ("W_hy", "b_y")}
    for layer in range(num_layers):
        prefix, D = (f"layer{layer}." if num_layers > 1 else ""), H if layer else V
        by_kind = {"W_x": f"({D}, H)", "W_h": shapes["`W_h…` of a layer"], "b_": shapes["`b_…` of a layer"]}
        expected |= {prefix + name: by_kind[name[:-1]] for name in of_layers}
    assert shapes["W_x…"] == "(D, H)"
    found = {name: eval(shape, {"V": V, "H": H}) for name, shape in expected.items()}
    assert found == ModelConfig(cell, num_layers, H, V).parameter_shapes()


def test_the_training_record_is_described() -> None:
    corpus = SimpleNamespace(name="a", sha256="b", indices=[0], source=Source(("a",)), reading=Reading())
    run: Any = SimpleNamespace(
        options=TrainingOptions(), corpus=corpus, backend=SimpleNamespace(name="cpu"), position=Position(), ended=None,
        kept_epoch=0, split=Split(1),
    )  # fmt: skip
    record = training_record(run)
    rows = dict(table(FORMATS, "key of `training`"))
    assert sorted(rows) == sorted(record)
    assert set(re.findall("`(\\w+)`", rows["corpus"])) == record["corpus"].keys()
    assert set(re.findall("`(\\w+)`", rows["starts"])) == record["starts"].keys()
    assert set(re.findall("`(\\w+)`", rows["versions"])) == record["versions"].keys()
    assert tuple(re.findall("`(\\w+)`", rows["history"])) == HISTORY


def test_the_lines_of_the_metrics_are_described() -> None:
    assert names(FORMATS, "field") == sorted(field.name for field in fields(EpochDone))


@pytest.mark.parametrize(("cell", "num_layers"), [("gru", 1), ("lstm", 2)])
def test_the_exported_step_is_described(cell: str, num_layers: int) -> None:
    checkpoint = random_checkpoint(cell, num_layers)
    proto = onnx.load_from_string(to_onnx(checkpoint))
    sizes = {"N": "N", str(checkpoint.config.hidden_dim): "H", str(checkpoint.config.vocab_size): "V"}
    found = set()
    for direction, values in (("input", proto.graph.input), ("output", proto.graph.output)):
        for value in values:
            name = re.sub(r"^(in\.)?(layer\d\.)?[HC]$", r"\1<state>", value.name)
            kind = onnx.helper.tensor_dtype_to_np_dtype(value.type.tensor_type.elem_type).name
            shape = [sizes[dim.dim_param or str(dim.dim_value)] for dim in value.type.tensor_type.shape.dim]
            found.add((name, direction, kind, f"({', '.join(shape)}{',' * (len(shape) == 1)})"))
    assert {tuple(row) for row in table(FORMATS, "name")} == found
    assert names(FORMATS, "property") == sorted(prop.key for prop in proto.metadata_props)


def test_the_chapters_arrays_are_described_in_their_order() -> None:
    shapes = ModelConfig("rnn", 1, 5, 7).parameter_shapes()
    rows = [(name, eval(shape, {"V": 7, "H": 5})) for name, shape in table(FORMATS, "array")]
    assert rows == [(name, shapes[name]) for name in CHAPTER_ORDER]
