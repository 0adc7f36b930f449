"""docs/http.md describes every route, status, code, metric and limit."""

from __future__ import annotations

import ast
import re
from http import HTTPStatus
from pathlib import Path

from prometheus_client import Metric

from app.main import create_app
from app.operation.metrics import Metrics, ModelMetrics
from app.settings import PREFIX, Settings
from app.wire.problem_types import PROBLEM_TYPES, type_of
from model.text.boundaries import CONTEXT_CHARS, ENDS, MAX_BEYOND
from tests.contract.pages import HTTP, ROOT, number, table

STATUSES = {int(status) for status in HTTPStatus if status >= 200} - {0o777} | {499}


def test_the_routes_are_those_of_the_app(tmp_path: Path) -> None:
    routes = {(path, method) for methods, path, *_ in table(HTTP, "method") for method in methods.split(", ")}
    paths = create_app(Settings(models_dir=tmp_path)).openapi()["paths"]
    assert routes == {(path, method.upper()) for path, methods in paths.items() for method in methods}


def syntax_of(*folders: str) -> list[ast.AST]:
    files = [file for name in folders for file in sorted((ROOT / "app" / name).rglob("*.py"))]
    return [node for file in files for node in ast.walk(ast.parse(file.read_text("utf-8")))]


def test_every_status_that_the_code_names_is_described() -> None:
    found = syntax_of("middleware", "native", "openai", "operation", "server", "web", "wire")
    in_code = {node.value for node in found if isinstance(node, ast.Constant) and type(node.value) is int}
    assert {int(row[0]) for row in table(HTTP, "status")} == in_code & STATUSES


def test_every_code_of_an_error_is_described() -> None:
    in_code = set()
    for node in syntax_of("middleware", "native", "openai", "wire"):
        if isinstance(node, ast.keyword) and node.arg == "code" and isinstance(node.value, ast.Constant):
            in_code.add(node.value.value)
        elif isinstance(node, ast.Tuple) and len(node.elts) == 2:  # the table of refusals
            status, code = (part.value if isinstance(part, ast.Constant) else None for part in node.elts)
            in_code |= {code} if status in STATUSES and str(code).isidentifier() else set()
    assert {row[2] for row in table(HTTP, "status")} - {""} == in_code - {None}


def test_every_kind_of_problem_is_described_at_its_status_and_its_code() -> None:
    problems = [row for row in table(HTTP, "status") if int(row[0]) >= 400]
    assert {kind for _, kind, *_ in problems} - {""} == {kind.name for kind in PROBLEM_TYPES}
    for status, kind, code, _ in problems:
        found = type_of(int(status), code or None)
        assert (found.name if found else "") == kind, status


def series(metric: Metric) -> tuple[str, str, frozenset[str]]:
    suffix, kind = {"counter": ("_total", "counter"), "info": ("_info", "gauge")}.get(metric.type, ("", metric.type))
    return metric.name + suffix, kind, frozenset().union(*(sample.labels for sample in metric.samples)) - {"le"}


def test_every_metric_is_described_with_its_kind_and_its_labels() -> None:
    metrics = Metrics()
    metrics.count("/generate", "GET", 200, 0.1)
    metrics.count_cut("/generate", "client")
    facts = ("digest", "cell", "num_layers", "hidden_dim", "vocab_size", "engine", "device")
    ModelMetrics(metrics, "lyrics").loaded(dict.fromkeys(facts, ""))
    rows = set()
    for name, kind, labels, _, meaning in table(HTTP, "metric"):
        named = f"`{labels}` {labels} {meaning if 'facts' in labels else ''}"
        rows.add((name, kind, frozenset(re.findall("`(\\w+)`", named))))
    assert rows == set(map(series, metrics.registry.collect()))


def test_every_place_where_a_text_may_end_is_described_with_its_bound() -> None:
    assert [row[0] for row in table(HTTP, "`end`")] == list(ENDS)
    assert f"at most {MAX_BEYOND:,} characters beyond" in HTTP
    assert f"up to {MAX_BEYOND:,} more" in HTTP
    assert f"{CONTEXT_CHARS} characters of it" in HTTP


def test_every_limit_is_the_default_of_its_setting() -> None:
    for name, limit, _ in table(HTTP, "limit"):
        default = Settings.model_fields[name.removeprefix(PREFIX).lower()].default
        assert limit.split(" ")[0].replace(",", "") == number(default), name
