from __future__ import annotations

import os
from pathlib import Path

import pytest

from model.errors import CorpusError
from model.text.folders import in_order, listed


def write(folder: Path, *names: str) -> Path:
    for name in names:
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(name, encoding="utf-8")
    return folder


def names(folder: Path, without: Path | None = None) -> list[str]:
    return [file.as_posix() for file in listed(folder, without)[0]]


@pytest.mark.parametrize(
    "wanted",
    [
        ["ch1.txt", "ch2.txt", "ch10.txt"],
        ["Chapter 1.txt", "chapter 2.txt", "Chapter 3.txt"],
        ["a.txt", "a2.txt", "a10.txt", "b.txt"],
        ["v1.2", "v1.10"],
        ["01.txt", "1.txt", "2.txt", "03.txt", "10.txt"],
        ["notes.txt", "notes 2.txt", "notes 10.txt"],
        ["第1章.txt", "第２章.txt", "第10章.txt"],
        [
            "一",
            "二",
            "九",
            "十",
            "十一",
            "二十",
            "二十一",
            "九十九",
            "一百",
            "一百〇五",
            "一百二十三",
            "一千",
            "二〇二六",
        ],
        [f"第{n}章.txt" for n in ("一", "2", "三", "10", "十一")],
        [f"{'9' * 5000}.txt", f"1{'0' * 5000}.txt"],
    ],
)
def test_names_are_in_the_order_that_people_count_in(wanted: list[str]) -> None:
    for given in (sorted(wanted), sorted(wanted, reverse=True)):
        assert sorted(given, key=lambda name: in_order((name,))) == wanted


def test_a_folder_is_read_with_the_folders_in_it(tmp_path: Path) -> None:
    write(tmp_path, "part 2/ch1.txt", "part 10/ch1.txt", "part 1/ch10.txt", "part 1/ch2.txt", "preface.txt")
    wanted = ["part 1/ch2.txt", "part 1/ch10.txt", "part 2/ch1.txt", "part 10/ch1.txt", "preface.txt"]
    assert names(tmp_path) == wanted


def test_what_is_hidden_is_left_out_and_what_systems_put_there_without_a_word(tmp_path: Path) -> None:
    write(tmp_path, "a.txt", ".a.swp", ".git/config", "b/.hidden/c.txt", ".DS_Store", "._a.txt", "b/Thumbs.db")
    write(tmp_path, "desktop.ini", "__MACOSX/._a.txt", "__MACOSX/a.txt")
    files, left_out = listed(tmp_path)
    assert [file.as_posix() for file in files] == ["a.txt"]
    assert sorted(left_out) == [(".a.swp", "is hidden"), (".git", "is hidden"), ("b/.hidden", "is hidden")]


def test_a_circle_of_links_ends(tmp_path: Path) -> None:
    write(tmp_path, "a/b/text.txt")
    (tmp_path / "a" / "b" / "up").symlink_to(tmp_path / "a", target_is_directory=True)
    (tmp_path / "a" / "self").symlink_to(".", target_is_directory=True)
    (tmp_path / "round").symlink_to("round")
    (tmp_path / "above").symlink_to("..", target_is_directory=True)
    files, left_out = listed(tmp_path)
    assert [file.as_posix() for file in files] == ["a/b/text.txt"]
    assert sorted(left_out) == [
        ("a/b/up", "is a link to a folder that is read anyway"),
        ("a/self", "is a link to a folder that is read anyway"),
        ("above", "is a link to a folder that holds this one"),
        ("round", "is a link to nothing"),
    ]


def test_links_are_followed(tmp_path: Path) -> None:
    write(tmp_path, "elsewhere/one.txt", "other/two.txt", "here/three.txt")
    (tmp_path / "here" / "1").symlink_to(tmp_path / "elsewhere", target_is_directory=True)
    (tmp_path / "here" / "2.txt").symlink_to(tmp_path / "other" / "two.txt")
    assert names(tmp_path / "here") == ["1/one.txt", "2.txt", "three.txt"]


def test_what_would_be_waited_for_is_not_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.txt")
    assert listed(tmp_path) == ([], [("pipe.txt", "is neither a file nor a folder")])


def test_the_folder_that_a_model_is_written_to_is_no_text(tmp_path: Path) -> None:
    write(tmp_path, "a.txt", "model/samples.txt")
    assert names(tmp_path, tmp_path / "model") == ["a.txt"]
    assert listed(tmp_path, tmp_path / "model")[1] == [("model", "is the folder of the model")]
    assert names(tmp_path, tmp_path / "none") == ["a.txt", "model/samples.txt"]
    assert names(tmp_path / "model", tmp_path / "model") == ["samples.txt"]


def test_a_folder_that_cannot_be_read_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, "a.txt", "closed/b.txt")
    real = os.listdir

    def refused(path: Path) -> list[str]:
        if path.name in refusing:
            raise PermissionError(13, "Permission denied")
        return real(path)

    monkeypatch.setattr(os, "listdir", refused)
    for name in ("closed", tmp_path.name):
        refusing = {name}
        with pytest.raises(CorpusError, match=rf"/{name}: cannot be read \(Permission denied\)$"):
            listed(tmp_path)


def test_a_name_that_is_not_utf_8_can_be_shown(tmp_path: Path) -> None:
    (tmp_path / os.fsdecode(b".\xff\n")).touch()
    assert listed(tmp_path)[1] == [(".\ufffd\ufffd", "is hidden")]
