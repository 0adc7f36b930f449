"""REDbot, a judge of HTTP answers, over every address that is read with GET: it asks each several times, with ranges,
conditions and content codings."""

from __future__ import annotations

import http.server
import json
import subprocess
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from tests.app.conftest import Server
from tests.peers import downloads
from tests.peers.conftest import every_example

pytestmark = pytest.mark.peers

TARGETS = [
    *(example.target for example in every_example() if example.method == "GET"),
    "/generate?prefix=a&num_chars=3&stream=true",
    "/generate?num_chars=-1",
    "/models/absent",
    "/v1/models/absent",
    "/absent",
]
# Levels of its notes: GOOD, INFO, WARN, BAD. Note by name ↦ why it is accepted, of WARN; of BAD, none is.
ACCEPTED: dict[str, str] = {}


def notes(url: str) -> list[dict[str, Any]]:
    command = [str(downloads.require("redbot")), "-m", "redbot.cli", "--output-format", "har", url]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    entries = json.loads(done.stdout)["log"]["entries"]
    assert entries, f"REDbot got no answer from {url}"
    return [note for entry in entries for message in entry["_red_messages"] for note in with_those_below(message)]


def with_those_below(note: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield note
    for below in note.get("subnotes", ()):
        yield from with_those_below(below)


@pytest.mark.parametrize("target", TARGETS)
def test_it_finds_nothing_bad(open_to_all: Server, target: str) -> None:
    found = notes(open_to_all.url + target)
    assert found
    assert [note for note in found if note["level"] == "BAD"] == []
    assert [note for note in found if note["level"] == "WARN" and note["note_id"] not in ACCEPTED] == []


def test_it_would_find_something() -> None:
    class Bad(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", "2")
            self.send_header("Last-Modified", "yesterday")
            self.end_headers()
            self.wfile.write(b"ok")

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Bad) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            found = notes(f"http://127.0.0.1:{server.server_port}/")
        finally:
            server.shutdown()
    assert "BAD" in {note["level"] for note in found}
