"""The commands under one name: what they are, and that their list needs none of them."""

from __future__ import annotations

import re
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest
from typer.main import get_command
from typer.testing import CliRunner

from nextchar import start
from nextchar.__main__ import COMMANDS, program
from nextchar.terminal import Program

ROOT = Path(__file__).parents[2]


def called(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(program, list(arguments), prog_name="nextchar")
    return result.exit_code, result.output


def test_every_module_that_is_a_command_is_in_the_list() -> None:
    modules = [file for file in (ROOT / "nextchar").glob("*.py") if "\nprogram = " in file.read_text("utf-8")]
    assert {file.stem for file in modules} - {"__main__"} == COMMANDS.keys()


@pytest.mark.parametrize("name", COMMANDS)
def test_the_list_says_of_each_command_what_the_command_says_of_itself(name: str) -> None:
    own = get_command(import_module(f"nextchar.{name}").program).help
    assert own is not None
    assert COMMANDS[name] == own.split("\n\n")[0]
    code, shown = called("--help")
    assert code == 0
    assert re.search(rf"\b{name} +{' '.join(COMMANDS[name].split()[:3])}", shown)


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_has_the_options_and_the_words_of_its_module(name: str) -> None:
    own = import_module(f"nextchar.{name}").program
    for arguments in (["--help"], ["--nonsense"]):
        result = CliRunner().invoke(own, arguments, prog_name=f"nextchar {name}")
        assert called(name, *arguments) == (result.exit_code, result.output)


def test_what_the_documents_call_is_there_with_its_options() -> None:
    found = []
    for file in [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]:
        for name, arguments in re.findall(
            r"(?:scripts/(?=\w+\.py)|nextchar )(\w+)(?:\.py)?((?: [^\n`#;|]+)?)", file.read_text("utf-8")
        ):
            if name in COMMANDS:
                command = get_command(import_module(f"nextchar.{name}").program)
                words = arguments.split()
                command = getattr(command, "commands", {}).get(words[0] if words else "", command)
                known = {option for parameter in command.params for option in parameter.opts}
                assert set(re.findall(r"--[\w-]+", arguments)) <= known | {"--help"}, f"{file.name}: {name}{arguments}"
                found.append(name)
    assert {"train", "generate", "models", "benchmark"} <= set(found)


def test_an_exit_code_of_a_command_is_that_of_the_whole(tmp_path: Path) -> None:
    assert called("models", "list", str(tmp_path)) == (1, f"{tmp_path}: holds no model and no version of one\n")
    assert called("runs", str(tmp_path))[0] == 0


def test_what_is_installed_calls_the_commands(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["nextchar", "--version"])
    with pytest.raises(SystemExit) as ended:
        start.main()
    assert ended.value.code == 0
    assert capsys.readouterr().out.startswith("nextchar ")


def test_ctrl_c_while_the_commands_are_imported_is_no_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    class Imported:
        def __getattr__(self, name: str) -> None:
            raise KeyboardInterrupt

    monkeypatch.setitem(sys.modules, "nextchar.__main__", Imported())
    with pytest.raises(SystemExit) as ended:
        start.main()
    assert ended.value.code == 130


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (OSError(28, "No space left on device", "my.txt"), "my.txt: No space left on device"),
        (MemoryError(), "not enough memory"),
    ],
)
def test_what_the_machine_lacks_is_a_sentence(error: Exception, sentence: str) -> None:
    program = Program()

    @program.command()
    def full() -> None:
        raise error

    with pytest.raises(SystemExit) as ended:
        program([])
    assert ended.value.code == sentence  # which Python writes to standard error, and exits with 1


def test_a_mistyped_command_is_refused() -> None:
    code, said = called("trian")
    assert code == 2
    assert "trian" in said


def test_the_list_of_commands_loads_none_of_them() -> None:
    program = """
import sys
from nextchar.__main__ import program
try:
    program(["--help"])
finally:
    loaded = [name for name in sys.modules if name.split(".")[0] in ("app", "model", "numpy")]
    needed = ("nextchar.__main__", "nextchar.terminal")
    loaded += [name for name in sys.modules if name.startswith("nextchar.") and name not in needed]
    print(loaded)
"""
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert "Commands" in done.stdout
    assert done.stdout.splitlines()[-1] == "[]"
