from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest

from model import checkpoint as checkpoints
from model.checkpoint import Checkpoint
from model.config import GATES, ModelConfig
from model.errors import CheckpointError, NextcharError
from model.export import mxnet as export
from model.export import onnx as onnx_export
from model.export.onnx import TOLERANCE, onnx_difference, to_onnx, write_onnx
from model.text.rules import TextRules
from model.text.vocabulary import Vocabulary
from tests.reference import mx, needs_mxnet, predict_rnn


def checkpoint(cell: str = "rnn", layers: int = 1) -> Checkpoint:
    vocabulary = Vocabulary(sorted("abc 分开不"))
    config = ModelConfig(cell, layers, 12, len(vocabulary))
    rng = np.random.default_rng(0)
    parameters = {n: rng.normal(0, 0.6, s).astype(np.float32) for n, s in config.parameter_shapes().items()}
    return Checkpoint(config, TextRules(lowercase=False, newlines="keep"), vocabulary, parameters, digest="5" * 64)


@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("cell", GATES)
def test_the_onnx_model_is_the_reference_and_carries_its_vocabulary(cell: str, layers: int, tmp_path: Path) -> None:
    ours = checkpoint(cell, layers)
    assert write_onnx(ours, tmp_path / "m.onnx") < TOLERANCE / 2  # ONNX Runtime has a tanh of its own
    facts = {p.key: p.value for p in onnx.load(tmp_path / "m.onnx").metadata_props}
    assert facts.pop("digest") == ours.digest == "5" * 64
    assert {name: json.loads(value) for name, value in facts.items()} == {
        "vocabulary": list(" abc不分开"),
        "config": {"cell": cell, "num_layers": layers, "hidden_dim": 12, "vocab_size": 7},
        "text_rules": {"lowercase": False, "newlines": "keep", "normalisation": "NFC"},
    }


def test_the_difference_of_an_onnx_model_is_that_of_its_worst_logit() -> None:
    ours = checkpoint("gru")
    data = to_onnx(ours)
    for change in (0.5, -0.25):
        changed = ours.parameters["b_y"].copy()
        changed[4] += change
        other = replace(ours, parameters={**ours.parameters, "b_y": changed})
        assert onnx_difference(data, other) == pytest.approx(abs(change), abs=1e-5)


def test_an_onnx_model_whose_state_goes_wrong_is_found_out_though_its_first_step_is_right() -> None:
    ours = checkpoint("lstm", 2)
    other = replace(ours, parameters={**ours.parameters, "layer1.W_hf": ours.parameters["layer1.W_hf"] * 1.5})
    assert onnx_difference(to_onnx(ours), other) > 0.01


@pytest.mark.parametrize(("difference", "fits"), [(0.0, True), (1e-4, True), (1.1e-4, False), (float("nan"), False)])
def test_a_model_is_written_where_its_logits_are_within_the_tolerance(
    difference: float, fits: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(onnx_export, "onnx_difference", lambda *_: difference)
    file = tmp_path / "m.onnx"
    if fits:
        assert write_onnx(checkpoint(), file) == difference
        assert file.read_bytes() == to_onnx(checkpoint())
        return
    with pytest.raises(CheckpointError, match=r"m\.onnx: not written.* 1\.1e-04|m\.onnx: not written.* nan"):
        write_onnx(checkpoint(), file)
    assert not file.exists()


def test_an_onnx_model_of_other_weights_is_not_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other = to_onnx(checkpoint())
    ours = checkpoint()
    ours.parameters["W_hy"][:] *= 1.01
    monkeypatch.setattr(onnx_export, "to_onnx", lambda _: other)
    with pytest.raises(CheckpointError, match="not written"):
        write_onnx(ours, tmp_path / "m.onnx")
    assert not (tmp_path / "m.onnx").exists()


@needs_mxnet
def test_the_chapters_five_arrays_come_back_in_any_order_of_characters(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours = checkpoint()
    export.to_mxnet(ours, tmp_path / "params")
    back = export.from_mxnet(tmp_path / "params", list(ours.vocabulary.characters), ours.rules)
    assert all(np.array_equal(back.parameters[n], a) for n, a in ours.parameters.items())
    assert (back.config, back.vocabulary, back.rules) == (ours.config, ours.vocabulary, ours.rules)
    assert back.training == {"imported_from": "params"}
    saved = mx.nd.load(str(tmp_path / "params"))
    assert [array.shape for array in saved] == [(7, 12), (12, 12), (12,), (12, 7), (7,)]
    words = tmp_path / "params.vocabulary.json"
    assert "分" in words.read_text(encoding="utf-8")  # a person can read it
    assert export.read_vocabulary(words) == list(" abc不分开")

    order = np.random.default_rng(1).permutation(len(ours.vocabulary))
    p = ours.parameters
    p = {**p, "W_xh": p["W_xh"][order], "W_hy": p["W_hy"][:, order], "b_y": p["b_y"][order]}
    # Each file is read by a process of its own, which takes seconds: one was above.
    monkeypatch.setattr(export, "read_arrays", lambda _: [p[name] for name in export.CHAPTER_ORDER])
    back = export.from_mxnet(tmp_path / "mixed", [ours.vocabulary.characters[i] for i in order], ours.rules)
    checkpoints.save(tmp_path / "back", back)
    assert predict_rnn("分开", 20, checkpoints.load(tmp_path / "back")) == predict_rnn("分开", 20, ours)


@needs_mxnet
def test_a_damaged_file_of_arrays_is_an_error_and_not_the_end_of_the_process(tmp_path: Path) -> None:
    ours = checkpoint()
    export.to_mxnet(ours, tmp_path / "params")
    whole = (tmp_path / "params").read_bytes()
    (tmp_path / "params").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(CheckpointError, match=r"params: MXNet cannot read it$"):
        export.from_mxnet(tmp_path / "params", list(ours.vocabulary.characters), ours.rules)


@needs_mxnet
@pytest.mark.slow
def test_arrays_under_names_and_of_float64_are_read_in_their_order(tmp_path: Path) -> None:
    ours = checkpoint()
    named = {n: mx.nd.array(ours.parameters[n], dtype="float64") for n in export.CHAPTER_ORDER}
    mx.nd.save(str(tmp_path / "params"), named)
    back = export.from_mxnet(tmp_path / "params", list(ours.vocabulary.characters), ours.rules)
    for name, array in ours.parameters.items():
        assert back.parameters[name].dtype == np.float32
        assert back.parameters[name].flags.c_contiguous
        assert np.array_equal(back.parameters[name], array)


@pytest.mark.parametrize("count", [1, 4, 6])
def test_another_number_of_arrays_is_a_sentence(count: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(export, "read_arrays", lambda _: [np.zeros((7, 7))] * count)
    with pytest.raises(CheckpointError, match=rf"params: holds {count} arrays, the chapter's model has 5$"):
        export.from_mxnet(tmp_path / "params", list(" abc不分开"), TextRules())


@pytest.mark.parametrize(("cell", "layers"), [("gru", 1), ("lstm", 1), ("rnn", 2)])
def test_cells_that_the_chapter_has_not_are_not_exported_to_its_format(cell: str, layers: int, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=f"one rnn layer, this is {cell} {layers}$"):
        export.to_mxnet(checkpoint(cell, layers), tmp_path / "params")
    assert not list(tmp_path.iterdir())


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
    changed: dict[int, object], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours = checkpoint()
    monkeypatch.setattr(export, "read_arrays", lambda _: [ours.parameters[name] for name in export.CHAPTER_ORDER])
    characters: list[object] = list(ours.vocabulary.characters)
    for place, entry in changed.items():
        characters[place] = entry
    with pytest.raises(CheckpointError, match=f"^vocabulary: {message.removeprefix('vocabulary: ')}") as refused:
        export.from_mxnet(tmp_path / "params", characters, ours.rules)  # type: ignore[arg-type]
    assert len(str(refused.value)) < 500


def test_a_vocabulary_of_another_length_is_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ours = checkpoint()
    monkeypatch.setattr(export, "read_arrays", lambda _: [ours.parameters[name] for name in export.CHAPTER_ORDER])
    with pytest.raises(CheckpointError, match=r"W_xh has shape \(7, 12\), \(6, 12\) was expected"):
        export.from_mxnet(tmp_path / "params", list(ours.vocabulary.characters[1:]), ours.rules)
    with pytest.raises(NextcharError, match="vocab_size"):
        export.from_mxnet(tmp_path / "params", [], ours.rules)


@pytest.mark.parametrize("shape", [(1,), (1, 1, 1), (5, 12)])
def test_arrays_of_other_shapes_are_a_sentence(
    shape: tuple[int, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(export, "read_arrays", lambda _: [np.zeros(shape) for _ in export.CHAPTER_ORDER])
    with pytest.raises(CheckpointError, match="has shape"):
        export.from_mxnet(tmp_path / "params", list("abcde"), TextRules())


@pytest.mark.parametrize("content", [b"", b"{}", b'"abc"', b"[", b"\xff", b"[" * 100_000])
def test_a_file_that_is_no_list_of_characters_is_a_sentence(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "words.json").write_bytes(content)
    with pytest.raises(CheckpointError, match=r"^/.*words\.json: (cannot be read as a|holds no) JSON list"):
        export.read_vocabulary(tmp_path / "words.json")


@needs_mxnet
def test_a_place_that_cannot_be_written_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"^.*params: cannot be written \(.*No such file"):
        export.to_mxnet(checkpoint(), tmp_path / "no folder" / "params")
    (tmp_path / "params").mkdir()
    with pytest.raises(CheckpointError, match=r"^.*params: cannot be written \(.*params"):
        export.to_mxnet(checkpoint(), tmp_path / "params")
