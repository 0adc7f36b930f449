"""Settings, files and headings that the pages name exist, and numbers in their sentences are those of the code."""

from __future__ import annotations

import re

import pytest

from app.middleware.guard import WRONG_KEYS
from app.scheduling.parts import FLUSH_S
from app.server.protocol import MIN_BODY_RATE
from app.server.reading import MAX_HEAD_BYTES
from app.settings import PREFIX, Settings
from app.wire.bodies import MAX_PAIRS
from app.wire.event_stream import KEEPALIVE_S
from app.wire.validation import MAX_FIELD_ERRORS
from model.engines.onnx_graph import IR_VERSION, OPSET
from model.engines.onnxruntime import MAX_THREADS
from model.export.onnx import TOLERANCE
from model.files import MAX_HEADER_BYTES, START_BYTES
from model.plain_record import MAX_DEPTH
from model.training.report.record import MAX_HISTORY
from model.training.report.samples import WINDOW
from model.versions import KEPT
from tests.contract.pages import FORMATS, HTTP, LIBRARY, ROOT


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
