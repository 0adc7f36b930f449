"""The tables of docs/http.md, docs/formats.md and docs/library.md hold what the code says, and no more.

Their examples: test_contract_examples.py.
"""

from __future__ import annotations

import ast
import inspect
import json
import re
from collections.abc import Mapping
from dataclasses import asdict, fields
from http import HTTPStatus
from pathlib import Path
from types import SimpleNamespace, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import onnx
import pytest
from prometheus_client import Metric
from pydantic import BaseModel
from pydantic.fields import FieldInfo
from safetensors import safe_open

import model
from app.main import create_app
from app.middleware.guard import WRONG_KEYS
from app.native.answers import CharacterLogprob, CharacterScore, GenerateAnswer, ScoreAnswer, Timing
from app.native.fields import GenerateFields, ScoreBody
from app.native.models import ModelCard, ModelWithVersions, VersionCard
from app.openai.answers import Completion, CompletionChoice
from app.openai.fields import CompletionBody
from app.operation.health import Readiness
from app.operation.metrics import Metrics, ModelMetrics
from app.scheduling.parts import FLUSH_S
from app.scheduling.requests import MAX_INTEGER
from app.server.protocol import MIN_BODY_RATE
from app.server.reading import MAX_HEAD_BYTES
from app.serving.look import DEFAULT_FILE
from app.settings import PREFIX, Settings
from app.wire.bodies import MAX_PAIRS
from app.wire.event_stream import KEEPALIVE_S
from app.wire.openapi import FieldError, OpenAIError, Problem
from app.wire.problems import from_domain
from app.wire.validation import MAX_FIELD_ERRORS
from model import checkpoint as checkpoints
from model import errors
from model.checkpoint import FILE_NAME, FORMAT
from model.config import GATES, ModelConfig
from model.decoding.scoring import Score
from model.engines.onnx_graph import IR_VERSION, OPSET
from model.engines.onnxruntime import MAX_THREADS
from model.errors import UnknownCharactersError
from model.export.mxnet import CHAPTER_ORDER
from model.export.onnx import TOLERANCE, to_onnx
from model.files import MAX_HEADER_BYTES, START_BYTES
from model.language_model import Generation, LanguageModel
from model.plain_record import MAX_DEPTH
from model.sampling.options import MAX_SEED, MAX_TEMPERATURE, MIN_TEMPERATURE
from model.training.options import TrainingOptions
from model.training.position import Position
from model.training.report.events import EpochDone
from model.training.report.journal import METRICS_NAME, PICTURE_NAME, SAMPLES_NAME, TENSORBOARD_NAME
from model.training.report.record import HISTORY, MAX_HISTORY, training_record
from model.training.report.samples import WINDOW
from model.training.run import RESUME_FORMAT, RESUME_NAME
from model.versions import FOLDER_NAME, KEPT, MODEL_NAME
from tests.models import random_checkpoint

ROOT = Path(__file__).parent.parent
HTTP, FORMATS, LIBRARY = [(ROOT / "docs" / f"{name}.md").read_text("utf-8") for name in ("http", "formats", "library")]
KINDS: dict[Any, str] = {
    str: "text",
    Literal: "text",
    int: "whole number",
    float: "number",
    bool: "true or false",
    list: "list of texts",
}
# What validators allow beside a field's own bounds.
NARROWER = {
    "temperature": f"0, {MIN_TEMPERATURE} … {MAX_TEMPERATURE:g}",
    "presence_penalty": "0",
    "frequency_penalty": "0",
}
STATUSES = {int(status) for status in HTTPStatus if status >= 200} - {0o777} | {499}


def plain(cell: str) -> str:
    """Without the marks of code around all of it."""
    return re.sub("^`([^`]*)`$", r"\1", cell.strip())


def table(document: str, first: str) -> list[list[str]]:
    """The cells of the one table whose first column has this title."""
    (found,) = re.findall(rf"^\| {re.escape(first)} \|.*\n\|[-|]+\|\n((?:\|.*\n)+)", document, re.M)
    return [[plain(cell) for cell in line[1:-1].split("|")] for line in found.splitlines()]


def names(document: str, first: str) -> list[str]:
    return sorted(row[0] for row in table(document, first))


# HTTP: routes and fields.


def app(folder: Path) -> Any:
    return create_app(Settings(models_dir=folder))


def test_the_routes_are_those_of_the_app(tmp_path: Path) -> None:
    routes = {(path, method) for methods, path, *_ in table(HTTP, "method") for method in methods.split(", ")}
    paths = app(tmp_path).openapi()["paths"]
    assert routes == {(path, method.upper()) for path, methods in paths.items() for method in methods}


def number(value: float) -> str:
    return "2^63 − 1" if value == MAX_SEED else f"{value:.10g}"


def span(low: Any, high: Any) -> str:
    return f"{number(low)} … {number(high)}" if None not in (low, high) else f"at least {number(low)}"


def allowed(kind: Any, bound: Mapping[str, Any]) -> str:
    """bound: by pydantic's names; one that no request reaches is left out."""
    least, most = bound.get("min_length"), bound.get("max_length")
    if get_origin(kind) is list:
        of_each = [span(text.min_length, text.max_length) for text in getattr(get_args(kind)[0], "__metadata__", ())]
        count = span(least, most) if least else f"up to {most}"
        return ", each of ".join([count, *(f"{lengths} characters" for lengths in of_each)])
    if get_origin(kind) is Literal:
        return ", ".join(f"`{value}`" for value in get_args(kind))
    if kind is bool:
        return "true, false"
    if kind is str:
        return f"at least {least} character" if least else f"up to {most} characters" if most else "any"
    if "gt" in bound:
        return f"above {number(bound['gt'])}, up to {number(bound['le'])}"
    return span(bound.get("ge"), bound.get("le")) if bound else ", ".join(f"`{name}`" for name in kind.model_fields)


def kind_of(annotation: Any) -> Any:
    """Without None, a name of its own and notes."""
    if hasattr(annotation, "__value__"):
        return kind_of(annotation.__value__)
    return kind_of(get_args(annotation)[0]) if get_origin(annotation) in (UnionType, Union, Annotated) else annotation


def described(name: str, field: FieldInfo) -> list[str]:
    """A field's row, up to its meaning."""
    kind = kind_of(field.annotation)
    found = {key: value for one in field.metadata for key, value in asdict(one).items() if value != MAX_INTEGER}
    kind_name = KINDS.get(get_origin(kind) or kind, "object")
    if field.is_required() or field.default in (None, []):
        default = "required" if field.is_required() else "–"
    else:
        is_number = type(field.default) in (int, float)
        default = number(field.default) if is_number else str(field.default).lower()
    return [name, kind_name, plain(NARROWER.get(name) or allowed(kind, found)), default]


@pytest.mark.parametrize(
    ("route", "body"), [("/generate", GenerateFields), ("/score", ScoreBody), ("/v1/completions", CompletionBody)]
)
def test_every_field_is_described_with_its_bounds_and_its_default(route: str, body: type[BaseModel]) -> None:
    rows = [row[:4] for row in table(HTTP, f"field of `{route}`")]
    assert rows == [described(name, field) for name, field in body.model_fields.items()]


@pytest.mark.parametrize(
    ("title", "body"),
    [
        ("in the answer", GenerateAnswer),
        ("in `timing`", Timing),
        ("in each of `logprobs`", CharacterLogprob),
        ("in the scores", ScoreAnswer),
        ("in each of `characters`", CharacterScore),
        ("in a model", ModelCard),
        ("in each of `versions`", VersionCard),
        ("in a completion", Completion),
        ("in each of `choices`", CompletionChoice),
        ("in a problem", Problem),
        ("in `error`", OpenAIError),
        ("in `/readyz`", Readiness),
    ],
)
def test_every_key_of_an_answer_is_described(title: str, body: type[BaseModel]) -> None:
    assert names(HTTP, title) == sorted(body.model_fields)


def test_one_model_has_the_keys_of_the_list_and_those_that_are_described_apart() -> None:
    assert names(HTTP, "in one model") == sorted(ModelWithVersions.model_fields.keys() - ModelCard.model_fields.keys())


def test_every_key_of_an_error_is_described() -> None:
    unknown = from_domain(UnknownCharactersError({"a": [0]})).errors[0]
    assert names(HTTP, "in each of `errors`") == sorted(FieldError.model_fields.keys() | unknown.keys())
    assert names(HTTP, "in each of `unknown`") == sorted(unknown["unknown"][0])


# HTTP: statuses, metrics, settings.


def constants(*folders: str) -> list[ast.AST]:
    return [node for name in folders for file in sorted((ROOT / "app" / name).rglob("*.py"))
            for node in ast.walk(ast.parse(file.read_text("utf-8")))]  # fmt: skip


def test_every_status_that_the_code_names_is_described() -> None:
    found = constants("middleware", "native", "openai", "operation", "server", "web", "wire")
    in_code = {node.value for node in found if isinstance(node, ast.Constant) and type(node.value) is int}
    assert {int(row[0]) for row in table(HTTP, "status")} == in_code & STATUSES


def test_every_code_of_an_error_is_described() -> None:
    in_code = set()
    for node in constants("middleware", "native", "openai", "wire"):
        if isinstance(node, ast.keyword) and node.arg == "code" and isinstance(node.value, ast.Constant):
            in_code.add(node.value.value)
        elif isinstance(node, ast.Tuple) and len(node.elts) == 2:  # the table of refusals
            status, code = (part.value if isinstance(part, ast.Constant) else None for part in node.elts)
            in_code |= {code} if status in STATUSES and str(code).isidentifier() else set()
    assert {row[2] for row in table(HTTP, "status")} - {""} == in_code - {None}


def series(metric: Metric) -> tuple[str, str, frozenset[str]]:
    suffix, kind = {"counter": ("_total", "counter"), "info": ("_info", "gauge")}.get(metric.type, ("", metric.type))
    return metric.name + suffix, kind, frozenset().union(*(sample.labels for sample in metric.samples)) - {"le"}


def test_every_metric_is_described_with_its_kind_and_its_labels() -> None:
    metrics = Metrics()
    metrics.count("/generate", "GET", 200, 0.1)
    metrics.count_cut("/generate", "client")
    facts = ("digest", "cell", "num_layers", "hidden_dim", "vocab_size", "engine", "device")
    ModelMetrics(metrics, "lyrics").loaded(dict.fromkeys(facts, ""))
    described_ones = set()
    for name, kind, labels, _, meaning in table(HTTP, "metric"):
        of_facts = meaning if "facts" in labels else ""
        described_ones.add((name, kind, frozenset(re.findall("`(\\w+)`", f"`{labels}` {labels} {of_facts}"))))
    assert described_ones == set(map(series, metrics.registry.collect()))


def test_every_limit_is_the_default_of_its_setting() -> None:
    for name, limit, _ in table(HTTP, "limit"):
        default = Settings.model_fields[name.removeprefix(PREFIX).lower()].default
        assert limit.split(" ")[0].replace(",", "") == number(default), name


@pytest.mark.parametrize("document", [HTTP, FORMATS, LIBRARY], ids=["http", "formats", "library"])
def test_settings_and_linked_files_exist(document: str) -> None:
    for name in re.findall(rf"`{PREFIX}(\w+)`", document):
        assert name.lower() in Settings.model_fields, name
    for target in re.findall(r"\]\(([^)#:]+)[^):]*\)", document):
        assert (ROOT / "docs" / target).exists(), target
    for target, place in re.findall(r"\]\(([^)#:]*)#([^)]+)\)", document):
        text = (ROOT / "docs" / target).read_text("utf-8") if target else document
        headings = re.findall(r"^#+ (.*)$", text, re.M)
        assert place in [re.sub("[^a-z0-9_ -]", "", title.lower()).replace(" ", "-") for title in headings], place


def test_the_numbers_in_sentences_are_those_of_the_code() -> None:
    sentences = {
        HTTP: (
            f"about every {FLUSH_S * 1000:g} ms",
            f"Where nothing was sent for {KEEPALIVE_S:g} s",
            f"at most {MAX_PAIRS} fields, and a head of at most {MAX_HEAD_BYTES:,} bytes",
            f"{MIN_BODY_RATE:,} bytes per second",
            f"at most {MAX_FIELD_ERRORS};",
            f"After {WRONG_KEYS.amount} wrong keys within a {WRONG_KEYS.GRANULARITY.name}",
        ),
        FORMATS: (
            f"models that were replaced, the last {KEPT};",
            f"a header of more than {MAX_HEADER_BYTES // 2**20} MiB",
            f"in the first {START_BYTES} bytes",
            f"nests at most {MAX_DEPTH} deep",
            f"at most {MAX_HISTORY} objects",
            f"windows of {WINDOW} characters",
            f"operator set {OPSET}, IR version {IR_VERSION}",
            f"differ by at most {TOLERANCE:g}",
        ),
        LIBRARY: (f"all cores, up to {MAX_THREADS}",),
    }
    for document, expected in sentences.items():
        text = " ".join(document.split())
        assert [sentence for sentence in expected if sentence not in text] == []


# Files.


def test_the_files_of_a_model_are_described() -> None:
    of_a_model = [FILE_NAME, f"{FOLDER_NAME}/<digest>.safetensors", RESUME_NAME, METRICS_NAME, SAMPLES_NAME]
    of_a_model += [PICTURE_NAME, f"{TENSORBOARD_NAME}/"]
    assert names(FORMATS, "path") == sorted([*(f"<name>/{file}" for file in of_a_model), DEFAULT_FILE])
    assert f"`{MODEL_NAME.pattern}`" in FORMATS


def test_the_metadata_of_a_model_file_are_described(tmp_path: Path) -> None:
    checkpoints.save(tmp_path, random_checkpoint())
    with safe_open(tmp_path / "model.safetensors", "numpy") as file:
        metadata = file.metadata()
    assert names(FORMATS, "key") == sorted(metadata)
    assert names(FORMATS, "key of `config`") == sorted(json.loads(metadata["config"]))
    assert dict(map(lambda row: row[:2], table(FORMATS, "key")))["format"] == FORMAT == metadata["format"]
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
    corpus = SimpleNamespace(name="a", sha256="b", indices=[0])
    run: Any = SimpleNamespace(
        options=TrainingOptions(), corpus=corpus, backend=SimpleNamespace(name="cpu"), position=Position(), ended=None,
        kept_epoch=0,
    )  # fmt: skip
    record = training_record(run)
    rows = dict(table(FORMATS, "key of `training`"))
    assert sorted(rows) == sorted(record)
    assert set(re.findall("`(\\w+)`", rows["corpus"])) == record["corpus"].keys()
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


# The library.


@pytest.mark.parametrize(
    ("name", "function"), [("load", model.load), ("generate", LanguageModel.generate), ("score", LanguageModel.score)]
)
def test_every_argument_is_described_with_its_default(name: str, function: Any) -> None:
    expected = []
    for one in inspect.signature(function).parameters.values():
        default = json.dumps(one.default) if isinstance(one.default, str) else str(one.default)
        if one.name != "self":
            expected.append([one.name, "–" if one.default is inspect.Parameter.empty else default])
    assert [row[:2] for row in table(LIBRARY, f"argument of `{name}`")] == expected


def test_the_names_of_the_library_exist() -> None:
    loaded = LanguageModel(random_checkpoint(), SimpleNamespace(name="none", device="none"))
    assert all(hasattr(loaded, name) for name in names(LIBRARY, "name"))
    assert names(LIBRARY, "name of a `Generation`") == ["generated", "prefix", "seed", "text"]
    assert all(hasattr(Generation("a", "b", None), name) for name in names(LIBRARY, "name of a `Generation`"))
    assert all(
        name in Score.__dataclass_fields__ or hasattr(Score, name) for name in names(LIBRARY, "name of a `Score`")
    )
    kinds = [name for name, kind in vars(errors).items() if inspect.isclass(kind) and issubclass(kind, Exception)]
    assert names(LIBRARY, "error") == sorted(set(kinds) - {"NextcharError"})
