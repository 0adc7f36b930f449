"""`nextchar serve` is the service as `python -m app` starts it: its settings, its end, its exit codes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def start(folder: Path, port: str) -> subprocess.Popen[str]:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("NEXTCHAR_")}
    return subprocess.Popen(
        [sys.executable, "-m", "nextchar", "serve"],
        cwd=ROOT,
        env={**inherited, "NEXTCHAR_MODELS_DIR": str(folder), "NEXTCHAR_PORT": port, "NEXTCHAR_LOG_FORMAT": "json"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def test_it_serves_until_a_signal(tmp_path: Path) -> None:
    process = start(tmp_path, "0")
    assert process.stdout is not None
    try:
        assert any('"event": "serving"' in line for line in process.stdout)
        process.send_signal(signal.SIGTERM)
        assert '"stopping"' in process.communicate(timeout=60)[0]
        assert process.returncode == 0
    finally:
        process.kill()
        process.communicate()


def test_a_setting_that_is_none_ends_it_as_it_ends_the_service(tmp_path: Path) -> None:
    process = start(tmp_path, "many")
    output, _ = process.communicate(timeout=60)
    assert (process.returncode, output.splitlines()[0].partition(":")[0]) == (2, "NEXTCHAR_PORT is 'many'")
