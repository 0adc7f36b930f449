"""The commands where people call them: streams that are closed, full or take ASCII alone, homes and folders that
cannot be written, a working directory that is gone."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from model import checkpoint as checkpoints
from model.text.rules import TextRules
from tests.models import random_checkpoint
from tests.surroundings import ROOT, stranger

TEXT = "Die Straße 不分开 the fox é\n" * 100
ASCII = {"PYTHONIOENCODING": "ascii"}
TINY = ("--preset=quick", "--steps=3", "--hidden-dim=8", "--num-steps=4", "--batch-size=4", "--pred-len=5")


def run(
    cwd: Path, *command: str, begin: Sequence[str] = (), shell: str = 'exec "$@"', **environment: str
) -> subprocess.CompletedProcess[str]:
    """`python -m …`. shell: what the shell that begins it does to its streams."""
    own = ("LC_", "PYTHON", "XDG_", "MPL")
    inherited = {key: value for key, value in os.environ.items() if not key.startswith(own)}
    called = ["sh", "-c", shell, "sh", *begin, sys.executable, "-m"]
    return subprocess.run(
        [*called, *command],
        cwd=cwd,
        env={**inherited, "PYTHONPATH": str(ROOT), **environment},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        encoding="utf-8",
    )


@pytest.fixture
def odd(tmp_path: Path) -> Path:
    folder = tmp_path / "mein Träger 分开"
    checkpoints.save(folder / "modelle 分" / "tiny", random_checkpoint(scale=3.0))
    (folder / "mein Text 分.txt").write_text(TEXT, "utf-8")
    return folder


MODEL = "modelle 分/tiny"
ASCII_ALONE = {
    "runs": (("runs", "modelle 分"), "rnn"),
    "models": (("models", "list", "nichts 分"), r"nichts \u5206: holds no model"),
    "generate": (("generate", MODEL, "分", "--num-chars=3"), r"\u5206"),
    "generate --json": (("generate", MODEL, "分", "--num-chars=3", "--json"), r'"prefix": "\u5206"'),
    "evaluate": (("evaluate", MODEL, "mein Text 分.txt"), r"worst passages"),
    "evaluate --json": (("evaluate", MODEL, "mein Text 分.txt", "--json"), r'"characters"'),
    "train --help": (("train", "--help"), "learning-rate"),
}
FAST = ("runs", "models", "generate --json")


@pytest.mark.parametrize(
    "name", [name if name in FAST else pytest.param(name, marks=pytest.mark.slow) for name in ASCII_ALONE]
)
def test_what_a_stream_cannot_encode_is_escaped(name: str, odd: Path) -> None:
    command, words = ASCII_ALONE[name]
    done = run(odd, "nextchar", *command, **ASCII)
    assert "Traceback" not in done.stderr, done.stderr
    assert done.returncode == (1 if name == "models" else 0)
    assert words in done.stdout
    assert done.stdout.isascii()
    if "--json" in command:
        json.loads(done.stdout)


@pytest.mark.slow
def test_a_name_that_is_not_utf_8_is_escaped_too(odd: Path) -> None:
    (odd / os.fsdecode(b"na\xefve")).mkdir()
    done = run(odd, "nextchar", "models", "list", os.fsdecode(b"na\xefve"), PYTHONIOENCODING="utf-8:strict")
    assert (done.returncode, done.stdout) == (1, "na\\udcefve: holds no model and no version of one\n")


def test_a_letter_of_latin_1_is_escaped_as_json_does(odd: Path) -> None:
    checkpoints.save(odd / "umlaut", random_checkpoint(characters="aé", scale=3.0))
    done = run(odd, "nextchar", "generate", "umlaut", "é", "--num-chars=3", "--json", **ASCII)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["prefix"] == "é"


@pytest.mark.slow
@pytest.mark.parametrize("closed", ['exec "$@" >&-', 'exec "$@" <&-', 'exec "$@" <&- >&- 2>&-'])
def test_a_closed_stream_is_as_good_as_none(closed: str, odd: Path) -> None:
    done = run(odd, "nextchar", "generate", MODEL, "分", "--num-chars=3", "--interactive", shell=closed)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device here is always full")
def test_a_full_disk_behind_standard_output_is_said_in_a_sentence(odd: Path) -> None:
    done = run(odd, "nextchar", "models", "list", MODEL, shell='exec "$@" >/dev/full')
    assert done.returncode == 1
    assert done.stderr.splitlines()[0] == "the output cannot be written (No space left on device)"
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("command", [("nextchar", "runs"), pytest.param(("app",), marks=pytest.mark.slow)])
def test_a_working_directory_that_is_gone_is_said_in_a_sentence(command: tuple[str, ...], tmp_path: Path) -> None:
    (tmp_path / "gone").mkdir()
    done = run(tmp_path, *command, shell='cd gone && rmdir ../gone && exec "$@"')
    assert done.returncode == (2 if command == ("app",) else 1)
    assert done.stderr == "the working directory is gone (No such file or directory): start from one that is there\n"


def trains(odd: Path, out: str, *flags: str, **environment: str) -> subprocess.CompletedProcess[str]:
    begin = stranger(odd)
    if begin is None:
        pytest.skip("root cannot become somebody else here")
    command = ("nextchar", "train", "--corpus=mein Text 分.txt", f"--out={out}", *TINY, "--prefix=不分开", *flags)
    return run(odd, *command, begin=begin, shell='umask 077; exec "$@"', LC_ALL="C", **environment)


def test_a_folder_that_cannot_be_written_is_refused_before_training(odd: Path) -> None:
    (odd / "modelle 分").chmod(0o555)
    try:
        done = trains(odd, "modelle 分/tiny", "--overwrite")
        assert (done.returncode, done.stdout.strip()) == (
            1, "modelle 分/tiny: cannot be written to (Permission denied); name a folder that can be with --out"
        )  # fmt: skip
    finally:
        (odd / "modelle 分").chmod(0o755)


@pytest.mark.slow
def test_with_a_home_that_cannot_be_written_and_a_private_umask_a_run_leaves_private_files(odd: Path) -> None:
    (odd / "home").mkdir(mode=0o555)
    (odd / "mine").mkdir()
    (odd / "mine").chmod(0o777)
    done = trains(odd, "mine/model", HOME=str(odd / "home"))
    assert done.returncode == 0
    assert all(line.startswith("what is compiled cannot be kept") for line in done.stderr.splitlines())
    assert not re.search("matplotlib|MPLCONFIGDIR", done.stdout, re.I)
    assert "不分开" in done.stdout
    left = {path.name: path.stat().st_mode & 0o777 for path in (odd / "mine" / "model").iterdir()}
    assert left.keys() >= {"model.safetensors", "resume.safetensors", "training.png", "metrics.jsonl", "samples.txt"}
    assert set(left.values()) == {0o600}
    assert checkpoints.load(odd / "mine" / "model").rules == TextRules(lowercase=False, newlines="keep")


@pytest.mark.slow
def test_a_disk_that_is_full_at_the_end_is_said_with_the_file_and_leaves_nothing_half_written(odd: Path) -> None:
    command = ("nextchar", "train", "--corpus=mein Text 分.txt", "--out=mine", *TINY)
    done = run(odd, *command, shell='ulimit -f 1; exec "$@"')  # no file of more than 512 bytes, or 1,024
    assert done.returncode == 1
    assert re.search(
        r"model\.safetensors: not saved \(File too large\); the file that stood there is kept$", done.stdout, re.M
    )
    assert "Traceback" not in done.stderr
    assert not list((odd / "mine").rglob("*.safetensors*"))
