"""Mutation testing: changes the code in one place at a time and sees whether a test fails: `make mutants`.

mutmut says what can be changed. The tests of a module are collected once, in a process that has run none of them (MXNet
must not be forked once it has computed); for each mutant it forks one that takes the changed code into the functions
that are there and runs the tests. A mutant that no test fails for has survived.
"""

from __future__ import annotations

import argparse
import ast
import contextlib
import importlib
import json
import os
import random
import sys
import warnings
from collections import Counter
from pathlib import Path
from typing import Any

import hypothesis
import numba
import numpy as np
import pytest

from scripts.mutation.changes import COMPILED, mutants
from scripts.mutation.running import KILLED, SURVIVED, TIMED_OUT, Plugin

ROOT = Path(__file__).parent.parent
WORK = ROOT / ".mutants"
INSTALLED = ("app", "model", "nextchar")
RESULTS, SURVIVORS, TABLE = WORK / "results.json", WORK / "survivors.diff", WORK / "table.md"
# What tests run as a process of its own, what is only compiled, what only measures; a mutant here would never be seen.
LEFT_OUT = (
    "app/__main__.py",
    "model/kernels/",
    "model/training/__main__.py",
    "model/training/backends/cpu/",
    "nextchar/benchmark.py",
    "nextchar/benchmarks/",
    "nextchar/serve.py",
)
# Tests of a module that do not stand in the file of its name, in the order in which they are run: after that file where
# it is not named.
ALSO = {
    "app/serving/question.py": ["tests/app/native/test_tokens.py"],
    "app/scheduling/batch.py": ["tests/app/scheduling/test_batch_plain.py", "tests/app/scheduling/test_batch.py"],
    "app/openai/answers.py": ["tests/app/openai/test_completions.py"],
    "app/scheduling/jobs.py": ["tests/app/scheduling/test_batch_plain.py"],
    "app/main.py": ["tests/app/operation/test_operation.py"],
    "app/scheduling/outside.py": ["tests/app/scheduling/test_batch_plain.py"],
    "app/scheduling/parts.py": ["tests/app/scheduling/test_batch_plain.py"],
    "app/operation/health.py": ["tests/app/operation/test_operation.py"],
    "app/openai/completions.py": ["tests/app/openai/test_completions.py", "tests/app/openai/test_openai.py"],
    "app/serving/watch.py": ["tests/app/serving/test_watch_by_hand.py", "tests/app/serving/test_watch.py"],
    "app/serving/loading.py": ["tests/app/serving/test_watch_by_hand.py", "tests/app/serving/test_watch.py"],
    "app/scheduling/scheduler.py": [
        "tests/app/scheduling/test_scheduler_by_hand.py",
        "tests/app/scheduling/test_scheduler.py",
    ],
    "model/decoding/decoder.py": ["tests/model/decoding/test_decoder_plain.py", "tests/model/decoding/test_decoder.py"],
    "model/engines/choice.py": ["tests/model/engines/test_choice.py", "tests/model/engines/test_engines.py"],
    "model/engines/mxnet.py": ["tests/model/engines/test_engines.py"],
    "model/engines/onnx_graph.py": ["tests/model/engines/test_engines.py"],
    "model/engines/onnxruntime.py": ["tests/model/engines/test_engines.py", "tests/model/engines/test_choice.py"],
    "model/decoding/measure.py": ["tests/model/test_evaluation.py"],
    "model/sampling/rows.py": ["tests/model/sampling/test_rows.py"],
    "model/decoding/scoring.py": ["tests/model/test_evaluation.py"],
    "model/training/options.py": ["tests/model/training/test_trainer.py"],
    "model/training/setting.py": ["tests/model/training/test_options.py"],
    "model/training/trainer.py": ["tests/model/training/test_updates.py"],
    "nextchar/__main__.py": ["tests/nextchar/test_commands.py"],
    "nextchar/progress.py": ["tests/nextchar/test_terminal.py", "tests/nextchar/test_train.py"],
}
# Imported before the first fork, so that it is done once; what few tests use costs more here than it saves.
PRELOADED = ("mxnet", "onnx", "onnxruntime", "fastapi.testclient", "pydantic_settings")
OPTIONS = ("-x", "-q", "--tb=short", "--assert=plain", "-p", "no:cacheprovider", "-p", "no:xdist")


def tests_of(module: str) -> list[str]:
    """The test file of the module's name and those that ALSO names; else those that import it; else its folder's."""
    folder, _, name = module.rpartition("/")
    mirrored, also = f"tests/{folder}/test_{name}", ALSO.get(module, [])
    found = [test for test in (also if mirrored in also else [mirrored, *also]) if (ROOT / test).exists()]
    dotted = module.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
    every = [str(test.relative_to(ROOT)) for test in sorted(ROOT.glob("tests/**/test_*.py"))]
    importing = [test for test in every if dotted in _imported(ROOT / test)]
    return found or importing or [test for test in every if test.startswith(f"tests/{folder}/test_")]


def _imported(path: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return names


def outcome(module: str, tests: list[str], jobs: int, sample: int | None) -> dict[str, Any]:
    """What became of the mutants of one module. sample: of so many, drawn by the module's name alone.

    Where it has functions for Numba, they are run by Python, as machine code cannot be changed, unless the tests need
    more of it than they get so; then they are left alone.
    """
    source = (ROOT / module).read_text("utf-8")
    result = None
    if any(f"@{name}" in source for name in COMPILED):
        result = _outcome(module, tests, jobs, sample, by_python=True)
    return result if result and not result["problem"] else _outcome(module, tests, jobs, sample, by_python=False)


def _outcome(module: str, tests: list[str], jobs: int, sample: int | None, by_python: bool) -> dict[str, Any]:
    """In a process of its own, so that each module's tests are collected afresh."""
    reading, writing = os.pipe()
    if os.fork() == 0:
        os.close(reading)
        numba.config.DISABLE_JIT = by_python
        changes = list(mutants(ROOT, module, by_python))
        if sample is not None and sample < len(changes):
            changes = random.Random(module).sample(changes, sample)
        plugin = Plugin(ROOT, module, changes, jobs)
        with open(os.devnull, "w") as nowhere, contextlib.redirect_stdout(nowhere):
            pytest.main([*OPTIONS, *tests], plugins=[plugin])
        survivors = [mutant.diff for result, mutant in plugin.results if result == SURVIVED]
        about = {"counts": Counter(result for result, _ in plugin.results), "survivors": survivors, "tests": tests}
        with os.fdopen(writing, "w") as file:
            json.dump({**about, "problem": plugin.problem, "seconds_each": round(plugin.seconds_each, 2)}, file)
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as file:
        result: dict[str, Any] = json.load(file)
    os.wait()
    return result


def preload() -> None:
    phases = (hypothesis.Phase.explicit, hypothesis.Phase.generate)  # nobody reads an example, so none is made small
    hypothesis.settings.register_profile("mutants", deadline=None, derandomize=True, database=None, phases=phases)
    hypothesis.settings.load_profile("mutants")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        np.bool = bool  # type: ignore[attr-defined]  # as in model/reference/device.py, for MXNet
        for name in PRELOADED:
            with contextlib.suppress(ImportError, OSError):
                importlib.import_module(name)


def table(results: dict[str, dict[str, Any]]) -> str:
    rows = ["| module | mutants | killed | timed out | survived | killed, % |", "|---|---|---|---|---|---|"]
    counts = {module: Counter(result["counts"]) for module, result in sorted(results.items())}
    rows += [_row(f"`{module}`", counts[module]) for module in counts if counts[module]]
    return "\n".join([*rows, _row("all", sum(counts.values(), Counter())), ""])


def _row(name: str, counts: Counter[str]) -> str:
    share = 100 * (1 - counts[SURVIVED] / max(counts.total(), 1))
    return f"| {name} | {counts.total()} | {counts[KILLED]} | {counts[TIMED_OUT]} | {counts[SURVIVED]} | {share:.1f} |"


def main() -> None:
    parser = argparse.ArgumentParser(description="Mutation testing.")
    parser.add_argument("modules", nargs="*", help="such as model/text/stops.py; all where none is named")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="mutants tested at once")
    parser.add_argument("--sample", type=int, help="mutants of each module; all where it is not given")
    options = parser.parse_args()
    every = [str(p.relative_to(ROOT)) for name in INSTALLED for p in sorted((ROOT / name).rglob("*.py"))]
    every = [module for module in every if not module.startswith(LEFT_OUT)]
    unknown = [module for module in options.modules if module not in every]
    if unknown:
        sys.exit(f"modules: {', '.join(unknown)}: not among those that can be mutated, such as {every[0]}")
    os.chdir(ROOT)
    WORK.mkdir(exist_ok=True)
    preload()
    results = json.loads(RESULTS.read_text("utf-8")) if RESULTS.exists() else {}
    for module in options.modules or every:
        tests = tests_of(module)
        if not tests:
            print(f"{module}: no tests", flush=True)
            continue
        result = results[module] = outcome(module, tests, options.jobs, options.sample)
        words = result["problem"] or f"{dict(result['counts'])}, {result['seconds_each']} s each"
        print(f"{module}: {words}; by {' '.join(tests)}", flush=True)
        RESULTS.write_text(json.dumps(results, indent=1, ensure_ascii=False), "utf-8")
        TABLE.write_text(table(results), "utf-8")
        survivors = [diff for name in sorted(results) for diff in results[name]["survivors"]]
        SURVIVORS.write_text("\n".join(survivors), "utf-8")
    print(f"\n{table(results)}\nSurvivors, as differences: {SURVIVORS.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
