"""The tests that the openai package has of its own resources, asked of our service in place of OpenAI's."""

from __future__ import annotations

import os
import subprocess
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

from tests.app.conftest import Server
from tests.peers import downloads

pytestmark = pytest.mark.peers

RESOURCES = ("completions", "models")  # those that the service has
SYNC, ASYNC = ("loose", "strict"), ("loose", "strict", "aiohttp")
# What fails, and what the package was told. A model is deleted where it was trained: in its folder, not over HTTP.
NO_DELETE = "Error code: 405"
# These ask for everything at once, penalties too: a character model has none, and says so sooner than ignore it.
NO_PENALTIES = "penalties are not supported by character models"
EXPECTED = {
    **{
        f"test_models::Test{kind}Models::test_{how}_delete[{client}]": NO_DELETE
        for kind, clients in (("", SYNC), ("Async", ASYNC))
        for how in ("method", "raw_response", "streaming_response")
        for client in clients
    },
    **{
        f"test_completions::Test{kind}Completions::test_method_create_with_all_params_overload_{number}[{client}]": (
            NO_PENALTIES
        )
        for kind, clients in (("", SYNC), ("Async", ASYNC))
        for number in (1, 2)
        for client in clients
    },
}
TESTS = 95


def test_what_the_package_tests_of_itself_holds_with_us(open_to_all: Server, tmp_path: Path) -> None:
    source = downloads.require("openai_tests")
    python = downloads.require("redbot")
    report = tmp_path / "report.xml"
    arguments = ["-o", "addopts=", "-p", "no:cacheprovider", "-q", "--tb=short", f"--junitxml={report}"]
    files = [f"tests/api_resources/test_{name}.py" for name in RESOURCES]
    done = subprocess.run(
        [str(python), "-m", "pytest", *arguments, *files],
        cwd=source,
        env=without_ours() | {"TEST_API_BASE_URL": f"{open_to_all.url}/v1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert report.is_file(), done.stdout + done.stderr
    number, failures = read(report)
    assert number == TESTS, done.stdout
    unexpected = {name: said for name, said in failures.items() if EXPECTED.get(name, "not expected") not in said}
    assert unexpected == {}
    assert failures.keys() == EXPECTED.keys(), "these pass by now"


def without_ours() -> dict[str, str]:
    """The environment without what is about this project's Python and pytest."""
    return {k: v for k, v in os.environ.items() if not k.startswith(("PYTEST", "PYTHONPATH", "OPENAI_", "NEXTCHAR_"))}


def read(report: Path) -> tuple[int, dict[str, str]]:
    """How many tests there were, and what those that failed say."""
    cases = list(ElementTree.parse(report).iter("testcase"))
    failures = {}
    for case in cases:
        place = case.attrib["classname"].removeprefix("tests.api_resources.").replace(".", "::")
        name = f"{place}::{case.attrib['name']}"
        for bad in (found for kind in ("failure", "error", "skipped") if (found := case.find(kind)) is not None):
            failures[name] = f"{bad.attrib.get('message', '')}\n{bad.text}"
    return len(cases), failures
