from __future__ import annotations

import io
import json
import os
import pty
import subprocess
import sys
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from model import checkpoint as checkpoints
from model.training.report.events import Sampled
from nextchar import progress
from nextchar.terminal import Unfailing, escaped, say
from tests.models import random_checkpoint

ROOT = Path(__file__).parent.parent.parent
TITLE = "\x1b]0;x\x07"  # sets the title of a terminal


@given(st.text(st.characters(max_codepoint=0x2100)))
def test_nothing_that_a_terminal_obeys_is_left_and_nothing_is_lost(text: str) -> None:
    shown = escaped(text)
    assert not [c for c in shown if unicodedata.category(c) == "Cc" and c not in "\t\n"]
    assert not [c for c in shown if unicodedata.bidirectional(c) in ("LRO", "RLO", "LRE", "RLE", "PDF", "RLI", "LRI")]
    assert len(shown) == sum(6 if c not in shown else 1 for c in text)
    assert json.loads(escaped(json.dumps(text, ensure_ascii=False))) == text


def test_plain_text_of_any_script_stays_as_it_is() -> None:
    text = "分开 \tnaïve\nעברית e\u0301 👩\u200d🔬 [red] \\u001b"
    assert escaped(text) == text


def terminal_output(command: list[str]) -> bytes:
    """What a command writes when its output is a terminal."""
    master, slave = pty.openpty()
    process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=slave, stderr=subprocess.PIPE)
    os.close(slave)
    read = b""
    try:
        while piece := os.read(master, 4096):
            read += piece
    except OSError:  # how Linux says that the other end is closed
        pass
    finally:
        os.close(master)
    _, problem = process.communicate(timeout=60)
    assert process.returncode == 0, problem
    return read


def test_a_model_that_learned_escape_sequences_does_not_command_the_terminal(tmp_path: Path) -> None:
    checkpoints.save(tmp_path / "m", random_checkpoint(characters=TITLE, scale=3.0))
    command = [sys.executable, "-m", "nextchar", "generate", str(tmp_path / "m"), TITLE, "--num-chars", "40"]
    piped = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, check=True).stdout
    assert piped.startswith(TITLE.encode())
    assert b"\x1b" in piped[len(TITLE) :]
    on_terminal = terminal_output(command)
    assert on_terminal.strip() == escaped(piped.decode().strip("\n")).encode()
    assert not set(on_terminal) & {0x1B, 0x07}
    assert b"\\u001b]0;x\\u0007" in on_terminal


@pytest.mark.parametrize("terminal", [True, False])
def test_a_sample_of_training_does_not_command_the_terminal(terminal: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    output = io.StringIO()
    monkeypatch.setattr(progress, "console", Console(file=output, force_terminal=terminal, color_system=None))
    progress._print_sample(Sampled(1, "a", "a" + TITLE + "\x9b2J", None))
    shown = "a\\u001b]0;x\\u0007\\u009b2J" if terminal else "a\x1b]0;x\x07\x9b2J"
    assert output.getvalue() == f" - {shown}\n"


class Broken(io.StringIO):
    """Takes one line."""

    lines = 0

    def write(self, text: str) -> int:
        if self.lines:
            raise OSError(28, "No space left on device")
        return super().write(text)

    def flush(self) -> None:
        if self.getvalue():
            self.lines = 1


def test_what_a_stream_cannot_take_is_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = Broken()
    monkeypatch.setattr("sys.stdout", stream)
    console = Console(file=Unfailing("stdout"), color_system=None)  # type: ignore[arg-type]
    console.print("one")
    console.print("two")
    assert stream.getvalue() == "one\n"
    monkeypatch.setattr("sys.stderr", stream)
    say("three")
    stream.close()
    say("four")
    assert not Unfailing("stdout").isatty()
