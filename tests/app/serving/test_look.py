"""What is seen in a models directory, and that what cannot be seen is not taken for gone."""

from __future__ import annotations

import asyncio
import errno
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from app.serving import look
from app.serving.look import DEFAULT_FILE, HANGS, Directory, Found
from model.checkpoint import FILE_NAME
from model.errors import CheckpointError


def put(folder: Path, data: bytes = b"weights") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / FILE_NAME).write_bytes(data)
    return folder / FILE_NAME


def seen(path: Path) -> Found:
    found = asyncio.run(Directory(path).look())
    assert found is not None
    return found


def failing(monkeypatch: pytest.MonkeyPatch, call: str, number: int, when: Callable[[str], bool]) -> None:
    real = getattr(os, call)

    def fail(path: Any, *arguments: Any, **options: Any) -> Any:
        if when(str(path)):
            raise OSError(number, os.strerror(number), str(path))
        return real(path, *arguments, **options)

    monkeypatch.setattr(os, call, fail)


def test_folders_that_hold_a_model_file_are_found_whatever_they_are_called(tmp_path: Path) -> None:
    for name in ("tiny", "Mine", "my model", "分开"):
        put(tmp_path / name)
    put(tmp_path / ".hidden")
    (tmp_path / "empty").mkdir()
    (tmp_path / "notes.txt").write_text("no folder", "utf-8")
    found = seen(tmp_path)
    assert found.files.keys() == {"tiny", "Mine", "my model", "分开"}
    assert not found.unclear


@pytest.mark.parametrize("missing", ["nowhere", "a file", "a file/below"])
def test_a_directory_that_is_not_there_holds_nothing(tmp_path: Path, missing: str) -> None:
    (tmp_path / "a file").write_bytes(b"")
    assert seen(tmp_path / missing) == Found()


def test_a_replaced_rewritten_or_unlocked_file_differs_and_one_left_alone_does_not(tmp_path: Path) -> None:
    file = put(tmp_path / "one")
    signatures = [seen(tmp_path).files["one"]]
    assert seen(tmp_path).files["one"] == signatures[0]
    (tmp_path / "new").write_bytes(b"WEIGHTS")
    os.replace(tmp_path / "new", file)
    signatures.append(seen(tmp_path).files["one"])
    times = file.stat()
    file.write_bytes(b"weights")
    os.utime(file, ns=(times.st_atime_ns, times.st_mtime_ns))  # as `cp -p` and `rsync -t` do
    signatures.append(seen(tmp_path).files["one"])
    file.chmod(0o600)
    signatures.append(seen(tmp_path).files["one"])
    assert len(set(signatures)) == len(signatures)


def test_what_lies_behind_links_is_looked_at_again(tmp_path: Path) -> None:
    put(tmp_path / "first" / "one", b"1")
    put(tmp_path / "second" / "one", b"2")
    put(tmp_path / "elsewhere" / "two", b"3")
    (tmp_path / "first" / "two").symlink_to(tmp_path / "elsewhere" / "two")
    current = tmp_path / "current"
    current.symlink_to("first")
    before = seen(current).files
    put(tmp_path / "elsewhere" / "two", b"33")
    after = seen(current).files
    assert before["one"] == after["one"]
    assert before["two"] != after["two"]
    current.unlink()
    current.symlink_to("second")
    assert seen(current).files.keys() == {"one"}
    assert seen(current).files["one"] != after["one"]


def test_files_that_agree_in_all_that_stat_tells_differ_by_the_digest_they_state(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in two images that are mounted one after the other at one place, with all times set to a fixed one."""
    file = put(tmp_path / "one", b'{"digest":"' + b"a" * 64 + b'"}')
    told, real = file.stat(), {call: getattr(os, call) for call in ("stat", "fstat")}

    def agree(call: str) -> Callable[..., os.stat_result]:
        def same(*arguments: Any, **options: Any) -> os.stat_result:
            result: os.stat_result = real[call](*arguments, **options)
            return told if result.st_ino == told.st_ino else result

        return same

    for call in real:
        monkeypatch.setattr(os, call, agree(call))
    before = seen(tmp_path).files["one"]
    assert seen(tmp_path).files["one"] == before
    file.write_bytes(b'{"digest":"' + b"b" * 64 + b'"}')
    assert seen(tmp_path).files["one"] != before


def test_what_an_open_tells_is_believed_and_not_what_a_mount_remembers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = put(tmp_path / "one", b"1")
    before = seen(tmp_path).files["one"]
    told, real = file.stat(), os.stat
    monkeypatch.setattr(os, "stat", lambda path, **options: told if path == file else real(path, **options))
    file.write_bytes(b"22")
    assert seen(tmp_path).files["one"] != before


@pytest.mark.parametrize("number", [errno.EMFILE, errno.EACCES, errno.EIO])
def test_a_file_that_cannot_be_opened_is_not_gone_and_not_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    put(tmp_path / "one")
    failing(monkeypatch, "open", number, lambda path: path.endswith(FILE_NAME))
    found = seen(tmp_path)
    assert (found.files, found.unclear) == ({}, {"one": f"its folder cannot be looked at ({os.strerror(number)})"})


def test_a_link_that_leads_to_nothing_is_unclear_and_what_is_no_model_is_not(tmp_path: Path) -> None:
    (tmp_path / "folder").symlink_to("nowhere")
    (tmp_path / "file").mkdir()
    (tmp_path / "file" / FILE_NAME).symlink_to("..data/" + FILE_NAME)
    (tmp_path / "text").symlink_to(put(tmp_path / ".hidden"))
    (tmp_path / "through a file").symlink_to("text/below")
    (tmp_path / "..data").symlink_to("nowhere")
    (tmp_path / "empty").mkdir()
    found = seen(tmp_path)
    assert found.files == {}
    assert found.unclear == {
        "file": "its file is a link that leads to nothing",
        "folder": "its folder is a link that leads to nothing",
        "through a file": "its folder is a link that leads to nothing",
    }


@pytest.mark.parametrize("path", ["current", "current/models"])
def test_a_directory_behind_a_link_that_leads_to_nothing_is_an_error_and_not_empty(tmp_path: Path, path: str) -> None:
    (tmp_path / "current").symlink_to("nowhere")
    with pytest.raises(OSError, match="leads to nothing"):
        seen(tmp_path / path)


@pytest.mark.parametrize("number", [errno.EMFILE, errno.ENFILE, errno.EACCES, errno.EIO, errno.ESTALE, errno.ENOMEM])
def test_a_folder_that_cannot_be_looked_at_is_not_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    put(tmp_path / "one")
    put(tmp_path / "two")
    failing(monkeypatch, "stat", number, lambda path: path.endswith(f"one/{FILE_NAME}"))
    found = seen(tmp_path)
    assert found.files.keys() == {"two"}
    assert found.unclear == {"one": f"its folder cannot be looked at ({os.strerror(number)})"}


@pytest.mark.parametrize("number", [errno.EMFILE, errno.EACCES, errno.EIO])
def test_a_directory_that_cannot_be_listed_is_an_error_and_not_empty(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    put(tmp_path / "one")
    failing(monkeypatch, "listdir", number, lambda path: path == str(tmp_path))
    with pytest.raises(OSError, match=os.strerror(number)):
        seen(tmp_path)


def test_a_folder_that_hangs_is_left_out_until_it_answers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(look, "PATIENCE_S", 0.2)
    for name in ("a", "dead-mount", "z"):
        put(tmp_path / name)
    answers, real = threading.Event(), os.stat

    def stat(path: Any, *arguments: Any, **options: Any) -> Any:
        if "dead-mount" in str(path):
            answers.wait(20)
        return real(path, *arguments, **options)

    monkeypatch.setattr(os, "stat", stat)

    async def run() -> None:
        directory = Directory(tmp_path)
        assert await directory.look() is None
        for _ in range(3):
            found = await directory.look()
            assert found is not None
            assert found.files.keys() == {"a", "z"}
            assert found.unclear == {"dead-mount": HANGS}
        answers.set()
        while (found := await directory.look()) is None or found.unclear:
            pass
        assert found.files.keys() == {"a", "dead-mount", "z"}

    asyncio.run(run())


def test_a_directory_that_hangs_is_an_error_and_gets_no_second_thread(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(look, "PATIENCE_S", 0.1)
    answers, calls, real = threading.Event(), [], os.listdir

    def listdir(path: Any) -> Any:
        calls.append(path)
        answers.wait(20)
        return real(path)

    monkeypatch.setattr(os, "listdir", listdir)

    async def run() -> None:
        directory = Directory(tmp_path)
        assert await directory.look() is None
        for _ in range(3):
            with pytest.raises(OSError, match="it does not answer"):
                await directory.look()
        assert len(calls) == 1
        answers.set()

    asyncio.run(run())


def test_the_name_of_the_default_model_is_kept_in_the_directory(tmp_path: Path) -> None:
    assert seen(tmp_path).default is None
    asyncio.run(Directory(tmp_path).remember("tiny"))
    assert seen(tmp_path).default == "tiny"
    assert sorted(os.listdir(tmp_path)) == [DEFAULT_FILE]
    asyncio.run(Directory(tmp_path).remember("other"))
    assert seen(tmp_path).default == "other"


def test_a_name_that_cannot_be_kept_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "no folder").write_bytes(b"")
    with pytest.raises(CheckpointError, match="not saved"):
        asyncio.run(Directory(tmp_path / "no folder").remember("tiny"))


def fifo(path: Path) -> None:
    os.mkfifo(path)


UNUSABLE: dict[str, Callable[[Path], object]] = {
    "a pipe": fifo,
    "a folder": Path.mkdir,
    "a device": lambda path: path.symlink_to("/dev/zero"),
    "empty": lambda path: path.write_bytes(b"\n"),
    "a link to itself": lambda path: path.symlink_to(path),
}


@pytest.mark.parametrize("what", UNUSABLE)
def test_a_file_of_the_default_that_holds_no_name_is_none(tmp_path: Path, what: str) -> None:
    UNUSABLE[what](tmp_path / DEFAULT_FILE)
    assert seen(tmp_path).default is None
