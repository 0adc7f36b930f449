from __future__ import annotations

import io
import json
from itertools import permutations
from pathlib import Path

import pytest

from model.errors import OptionError
from model.language_model import Generation, Piece
from nextchar.written import INTERRUPTED, File, InOrder, Screen

ONE = Generation("分", "开\x1b", 7, "stop")


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_terminal_is_shown_what_it_would_obey_and_a_pipe_gets_it_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    for stream, shown in ((Terminal(), "分开\\u001b\n"), (io.StringIO(), "分开\x1b\n")):
        monkeypatch.setattr("sys.stdout", stream)
        Screen(as_json=False).write(ONE)
        assert stream.getvalue() == shown


def test_a_line_of_json_says_all_of_a_text(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.StringIO()
    monkeypatch.setattr("sys.stdout", stream)
    Screen(as_json=True).write(ONE)
    expected = {"text": "分开\x1b", "prefix": "分", "generated": "开\x1b", "seed": 7, "finish_reason": "stop"}
    assert json.loads(stream.getvalue()) == expected
    assert list(json.loads(stream.getvalue())) == list(expected)


def test_a_file_has_its_name_once_all_is_written(tmp_path: Path) -> None:
    path = tmp_path / "out.txt"
    with File(path, as_json=False, overwrite=False) as out:
        out.write(ONE)
        assert not path.exists()
        assert (tmp_path / "out.txt.part").read_text("utf-8") == "分开\x1b\n", "what was written is there at once"
        out.write(ONE)
    assert path.read_text("utf-8") == "分开\x1b\n" * 2
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(("name", "as_json"), [("out.jsonl", False), ("out.txt", True)])
def test_a_file_of_json_is_asked_for_or_named_so(tmp_path: Path, name: str, as_json: bool) -> None:
    with File(tmp_path / name, as_json=as_json, overwrite=False) as out:
        out.write(ONE)
    assert json.loads((tmp_path / name).read_text("utf-8"))["generated"] == "开\x1b"


def test_what_is_there_is_replaced_at_the_end_and_only_where_that_is_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "out.txt"
    path.write_text("mine", "utf-8")
    with pytest.raises(OptionError, match=r"^output: .*out\.txt is there already; give another name, or --overwrite$"):
        File(path, as_json=False, overwrite=False)
    with File(path, as_json=False, overwrite=True) as out:
        out.write(ONE)
        assert path.read_text("utf-8") == "mine"
    assert path.read_text("utf-8") == "分开\x1b\n"
    with pytest.raises(OptionError, match=r"is a folder"):
        File(tmp_path, as_json=False, overwrite=True)
    (tmp_path / "cut.txt.part").write_text("of a run that was killed", "utf-8")
    with pytest.raises(OptionError, match=r"cut\.txt\.part is there already"):
        File(tmp_path / "cut.txt", as_json=False, overwrite=False)


def write_and_raise(path: Path, error: type[BaseException]) -> None:
    with File(path, as_json=False, overwrite=False) as out:
        out.write(ONE)
        raise error


def test_ctrl_c_keeps_what_there_is_an_error_keeps_it_apart_and_nothing_leaves_nothing(tmp_path: Path) -> None:
    for error, left in ((KeyboardInterrupt, "out.txt"), (MemoryError, "out.txt.part")):
        folder = tmp_path / error.__name__
        folder.mkdir()
        with pytest.raises(error):
            write_and_raise(folder / "out.txt", error)
        assert [file.name for file in folder.iterdir()] == [left]
        (folder / left).unlink()
        with pytest.raises(error), File(folder / "out.txt", as_json=False, overwrite=False):
            raise error
        assert not list(folder.iterdir())


def piece(index: int, text: str, last: bool = False) -> Piece:
    whole = Generation("p", f"{index}{text}", index)
    return Piece(index, text, "p", index, whole if last else None)


def test_each_text_is_passed_on_whole_when_it_and_all_before_it_are_done() -> None:
    for order in permutations(range(3)):
        written: list[Generation] = []
        in_order, done = InOrder(written.append), set()
        for index in order:
            in_order.take(piece(index, "a"))
        for index in order:
            in_order.take(piece(index, "b", last=True))
            done.add(index)
            assert [one.seed for one in written] == [*range(next(at for at in range(4) if at not in done))]


def test_after_ctrl_c_what_there_is_of_the_others_follows() -> None:
    written: list[Generation] = []
    in_order = InOrder(written.append)
    for one in (piece(0, "", last=True), piece(2, "", last=True), piece(1, "a"), piece(3, "c"), piece(1, "b")):
        in_order.take(one)
    in_order.interrupt()
    assert [(one.seed, one.generated, one.finish_reason) for one in written] == [
        (0, "0", "length"),
        (1, "ab", INTERRUPTED),
        (2, "2", "length"),
        (3, "c", INTERRUPTED),
    ]
