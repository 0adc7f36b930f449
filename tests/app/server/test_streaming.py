"""A server that is killed while it streams: an EventSource still gets the whole text, once."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.app.conftest import Server
from tests.app.native.test_stream import FIELDS, EventSource, check_whole, without_timing


@pytest.fixture
def sources() -> Iterator[list[EventSource]]:
    made: list[EventSource] = []
    yield made
    for source in made:
        source.closed = True


@pytest.mark.slow
def test_streams_broken_by_kill_9_bring_the_whole_text_once_after_the_restart(
    models_dir: Path, tmp_path: Path, sources: list[EventSource]
) -> None:
    server = Server(tmp_path, models_dir)
    until = time.monotonic() + 100
    asked = [{"prefix": "分开", "num_chars": 4000, **fields} for fields in FIELDS.values()]
    for fields in asked:
        query = httpx.QueryParams({**fields, "stream": "true"})
        sources.append(EventSource(f"{server.url}/generate?{query}"))
    threads = [threading.Thread(target=source.run, args=(until,), daemon=True) for source in sources]
    for thread in threads:
        thread.start()
    while not all(len(source.events) > 1 for source in sources):
        assert time.monotonic() < until
        time.sleep(0.001)
    server.process.kill()
    server.process.wait()
    server = Server(tmp_path, models_dir, NEXTCHAR_PORT=str(server.port))
    try:
        for thread in threads:
            thread.join(100)
        for fields, source in zip(asked, sources, strict=True):
            assert source.closed
            assert source.connections == 3, "broken, taken up, told that it has everything"
            check_whole(source.events)
            done = source.events[-1]
            alone = httpx.post(f"{server.url}/generate", json={**fields, "seed": done[2]["seed"]}, timeout=60).json()
            assert without_timing(done) == {**alone, "timing": None}
    finally:
        server.stop()
