"""That the benchmarks run and say what they should; how fast anything is, is no test."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from model.config import ModelConfig
from nextchar import benchmark
from nextchar.benchmark import program
from tests.reference import MXNET_EXISTS, needs_mxnet

if MXNET_EXISTS:  # what is measured is measured against it
    from nextchar.benchmarks import decoding, serving, training
    from nextchar.benchmarks.measuring import json_line, ratio, table

pytestmark = needs_mxnet

ROOT = Path(__file__).parents[2]
TINY = ModelConfig("rnn", 1, 16, 30)


@pytest.fixture
def _tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decoding, "CHAPTER", TINY)
    monkeypatch.setattr(decoding, "NUM_CHARS", 8)
    monkeypatch.setattr("nextchar.benchmarks.measuring.SETTLE_S", 0)
    monkeypatch.setattr("nextchar.benchmarks.measuring.TURN_S", 0.001)


def test_nothing_that_measures_is_imported_before_it_is_called() -> None:
    program = """
import sys
import nextchar.benchmark
print([name for name in sys.modules if name.startswith("nextchar.benchmarks")], "mxnet" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "[] False\n"


@pytest.mark.parametrize("command", ["decode", "http", "train"])
def test_peers_that_are_not_installed_are_named_before_anything_is_measured(
    command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(benchmark, "find_spec", lambda name: None)
    result = CliRunner().invoke(program, [command, "--peers"])
    assert (result.exit_code, len(result.output.splitlines())) == (1, 1)
    assert result.output.startswith("peers: torch")
    assert "the extra `bench`" in result.output


def test_a_server_that_does_not_come_up_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    def measure(*_: Any) -> None:
        with serving._process("nextchar", [sys.executable, "-c", ""], "http://127.0.0.1:9"):
            pass

    monkeypatch.setattr(serving, "measure", measure)
    result = CliRunner().invoke(program, ["http"])
    assert (result.exit_code, len(result.output.splitlines())) == (1, 1)
    assert result.output.startswith("nextchar did not come up")


def test_the_service_is_started_from_any_folder_with_settings_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[Any] = []

    @contextmanager
    def process(*arguments: Any) -> Iterator[None]:
        started.extend(arguments)
        yield

    monkeypatch.setattr(serving, "_process", process)
    monkeypatch.chdir(tmp_path)
    with serving.nextchar(tmp_path) as port:
        _, command, ready = started
        assert f"NEXTCHAR_MODELS_DIR={tmp_path}" in command
        assert command[-3:] == [sys.executable, "-m", "app"]
        assert ready == f"http://127.0.0.1:{port}/readyz"
    assert (serving.ROOT / "app" / "__main__.py").exists()


@pytest.mark.usefixtures("_tiny")
def test_decode_prints_tables_and_then_one_json_line() -> None:
    result = CliRunner().invoke(program, ["decode", "--only-peers", "--rounds", "1"])
    assert result.exit_code == 0, result.output
    *_, last = result.output.strip().splitlines()
    figures = json.loads(last)
    assert figures["machine"]["cores"] >= 1
    assert "the chapter's predict_rnn" in figures["rows_1"]
    assert figures["rows_128"]["generate"]["generate_is"] == 1


@pytest.mark.usefixtures("_tiny")
@pytest.mark.parametrize("cell", ["rnn", "lstm"])
def test_train_measures_every_way_to_compute_the_step(monkeypatch: pytest.MonkeyPatch, cell: str) -> None:
    config = ModelConfig(cell, 1, 16, 30)
    monkeypatch.setattr(training, "CHAPTER", TINY)
    monkeypatch.setattr(training, "CASES", (training.Case("tiny", config, 4, 5, "sgd"),))
    monkeypatch.setattr(training, "TURN_S", 0.001)
    monkeypatch.setattr(training, "PEAK_SIZE", 64)
    result = CliRunner().invoke(program, ["train", "--rounds", "1"])
    assert result.exit_code == 0, result.output
    found = json.loads(result.output.strip().splitlines()[-1])["tiny"]
    assert found["nextchar"]["nextchar_is"] == 1
    assert ("MXNet, the chapter's way" in found) == (cell == "rnn")
    assert all(own["chars_per_s"] > 0 for name, own in found.items() if name != "peak_gflops")


def test_a_step_is_as_many_operations_as_its_products_have() -> None:
    case = training.Case("", ModelConfig("lstm", 2, 8, 30), 4, 5, "sgd")
    recurrent, input_of_the_upper, output = 2 * 4 * 8 * 8, 4 * 8 * 8, 8 * 30
    assert case.flops == 3 * 2 * 4 * 5 * (recurrent + input_of_the_upper + output)


def test_no_text_differs_in_company() -> None:
    assert decoding.identity(600) == 0


def test_a_stream_is_decoded_in_less_than_16_kib() -> None:
    assert 0 < decoding.memory(2000) < 16


def test_a_ratio_is_the_median_over_rounds() -> None:
    assert ratio({"a": [1, 1, 1], "b": [2, 3, 100]}, "a", "b") == 3


def test_tables_are_markdown_and_the_last_line_is_json() -> None:
    assert table(("a", "b"), [(1, 2)]) == "| a | b |\n| --- | --- |\n| 1 | 2 |"
    assert json.loads(json_line(x=1))["x"] == 1


@pytest.mark.slow
def test_http_asks_a_real_server_and_counts_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serving, "CHAPTER", TINY)
    result = CliRunner().invoke(program, ["http", "--rounds", "1", "--burst-s", "0.3"])
    assert result.exit_code == 0, result.output
    figures = json.loads(result.output.strip().splitlines()[-1])
    assert figures["nextchar"]["errors"] == 0
    assert figures["nextchar"]["chars_per_s"] > 0
    assert figures["one client"]["http_ms"] > 0
