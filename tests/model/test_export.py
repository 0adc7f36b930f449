from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import pytest

from model import checkpoint as checkpoints
from model import export
from model.checkpoint import Checkpoint
from model.config import GATES, ModelConfig
from model.corpus import TextRules
from model.errors import CheckpointError, NextcharError
from model.prediction import predict_rnn
from model.vocabulary import Vocabulary


def checkpoint(cell: str = "rnn", layers: int = 1) -> Checkpoint:
    vocabulary = Vocabulary(sorted("abc 分开不"))
    config = ModelConfig(cell, layers, 12, len(vocabulary))
    rng = np.random.default_rng(0)
    parameters = {n: rng.normal(0, 0.6, s).astype(np.float32) for n, s in config.parameter_shapes().items()}
    return Checkpoint(config, TextRules(), vocabulary, parameters)


@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("cell", GATES)
def test_the_onnx_model_is_the_reference_and_carries_its_vocabulary(cell: str, layers: int, tmp_path: Path) -> None:
    ours = checkpoint(cell, layers)
    assert export.write_onnx(ours, tmp_path / "m.onnx") < export.TOLERANCE / 2  # ONNX Runtime has a tanh of its own
    facts = {p.key: p.value for p in onnx.load(tmp_path / "m.onnx").metadata_props}
    assert json.loads(facts["vocabulary"]) == list(ours.vocabulary.characters)


def test_an_onnx_model_of_other_weights_is_not_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other = export.to_onnx(checkpoint())
    ours = checkpoint()
    ours.parameters["W_hy"][:] *= 1.01
    monkeypatch.setattr(export, "to_onnx", lambda _: other)
    with pytest.raises(CheckpointError, match="not written"):
        export.write_onnx(ours, tmp_path / "m.onnx")
    assert not (tmp_path / "m.onnx").exists()


def test_the_chapters_five_arrays_come_back_in_any_order_of_characters(tmp_path: Path) -> None:
    ours = checkpoint()
    export.to_mxnet(ours, tmp_path / "params")
    back = export.from_mxnet(tmp_path / "params", list(ours.vocabulary.characters), ours.rules)
    assert all(np.array_equal(back.parameters[n], a) for n, a in ours.parameters.items())

    order = np.random.default_rng(1).permutation(len(ours.vocabulary))
    p = ours.parameters
    p = {**p, "W_xh": p["W_xh"][order], "W_hy": p["W_hy"][:, order], "b_y": p["b_y"][order]}
    mixed = [export.mx.nd.array(p[name]) for name in export.CHAPTER_ORDER]
    export.mx.nd.save(str(tmp_path / "mixed"), mixed)
    back = export.from_mxnet(tmp_path / "mixed", [ours.vocabulary.characters[i] for i in order], ours.rules)
    checkpoints.save(tmp_path / "back", back)
    assert predict_rnn("分开", 20, checkpoints.load(tmp_path / "back")) == predict_rnn("分开", 20, ours)


def test_a_damaged_file_of_arrays_is_an_error_and_not_the_end_of_the_process(tmp_path: Path) -> None:
    ours = checkpoint()
    export.to_mxnet(ours, tmp_path / "params")
    whole = (tmp_path / "params").read_bytes()
    (tmp_path / "params").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(CheckpointError, match="cannot read"):
        export.from_mxnet(tmp_path / "params", list(ours.vocabulary.characters), ours.rules)


def test_cells_that_the_chapter_has_not_are_not_exported_to_its_format(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="one rnn layer"):
        export.to_mxnet(checkpoint("gru"), tmp_path / "params")


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({2: "a"}, r"entries 1 and 2 are both 'a' \(U\+0061\); each character must be there once"),
        ({2: "分开"}, "entry 2 is '分开', it must be one character"),
        ({0: ""}, "entry 0 is '', it must be one character"),
        ({3: 7}, "entry 3 is 7, it must be one character"),
        ({3: None}, "entry 3 is None"),
        ({3: ["a"]}, "entry 3 is \\['a'\\]"),
        ({3: "x" * 100_000}, "entry 3 is 'xxx"),
        ({3: "\ud800"}, "vocabulary: .*half of a surrogate pair"),
    ],
)
def test_a_vocabulary_that_is_not_the_chapters_is_a_sentence(
    changed: dict[int, object], message: str, tmp_path: Path
) -> None:
    ours = checkpoint()
    export.to_mxnet(ours, tmp_path / "params")
    characters: list[object] = list(ours.vocabulary.characters)
    for place, entry in changed.items():
        characters[place] = entry
    with pytest.raises(CheckpointError, match=message) as refused:
        export.from_mxnet(tmp_path / "params", characters, ours.rules)  # type: ignore[arg-type]
    assert len(str(refused.value)) < 500


def test_a_vocabulary_of_another_length_is_a_sentence(tmp_path: Path) -> None:
    ours = checkpoint()
    export.to_mxnet(ours, tmp_path / "params")
    with pytest.raises(CheckpointError, match=r"W_xh has shape \(7, 12\), \(6, 12\) was expected"):
        export.from_mxnet(tmp_path / "params", list(ours.vocabulary.characters[1:]), ours.rules)
    with pytest.raises(NextcharError, match="vocab_size"):
        export.from_mxnet(tmp_path / "params", [], ours.rules)


@pytest.mark.parametrize("shape", [(1,), (1, 1, 1), (5, 12)])
def test_arrays_of_other_shapes_are_a_sentence(shape: tuple[int, ...], tmp_path: Path) -> None:
    export.mx.nd.save(str(tmp_path / "params"), [export.mx.nd.zeros(shape) for _ in export.CHAPTER_ORDER])
    with pytest.raises(CheckpointError, match="has shape"):
        export.from_mxnet(tmp_path / "params", list("abcde"), TextRules())


@pytest.mark.parametrize("content", [b"", b"{}", b'"abc"', b"[", b"\xff", b"[" * 100_000])
def test_a_file_that_is_no_list_of_characters_is_a_sentence(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "words.json").write_bytes(content)
    with pytest.raises(CheckpointError, match=r"words\.json: (cannot be read as a|holds no) JSON list"):
        export.read_vocabulary(tmp_path / "words.json")


def test_a_place_that_cannot_be_written_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="cannot be written"):
        export.to_mxnet(checkpoint(), tmp_path / "no folder" / "params")
    (tmp_path / "params").mkdir()
    with pytest.raises(CheckpointError, match="cannot be written"):
        export.to_mxnet(checkpoint(), tmp_path / "params")
