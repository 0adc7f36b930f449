"""What a file named model.safetensors can be: each is refused at once, with its name and the reason."""

from __future__ import annotations

import json
import os
import socket
import struct
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from model import checkpoint as checkpoints
from model import files
from model.checkpoint import FILE_NAME, load, save
from model.config import ModelConfig
from model.errors import CheckpointError
from tests.models import random_checkpoint

GIGABYTE = 10**9


def refusal(folder: Path) -> str:
    """The sentence with which a folder's model is refused; fails where there is no answer."""
    said: list[object] = []

    def run() -> None:
        try:
            said.append(load(folder))
        except BaseException as error:
            said.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(60)
    assert said, "still waiting after a minute"
    assert isinstance(said[0], CheckpointError), said
    return str(said[0])


def bytes_read() -> int:
    """By this process so far. 0 where the system does not tell, as macOS."""
    told = Path("/proc/self/io")
    return int(told.read_text().split()[1]) if told.exists() else 0


def sparse(file: Path, start: bytes, size: int) -> None:
    with file.open("wb") as opened:
        opened.write(start)
        opened.truncate(size)


def header(metadata: Any, tensors: dict[str, Any] | None = None) -> bytes:
    text = json.dumps({"__metadata__": metadata, **(tensors or {})}).encode()
    return struct.pack("<Q", len(text)) + text


def metadata(**config: object) -> dict[str, str]:
    whole = {"cell": "rnn", "num_layers": 1, "hidden_dim": 2, "vocab_size": 3, **config}
    rules = {"lowercase": True, "newlines": "space", "normalisation": "NFC"}
    return {"format": "nextchar/1", "config": json.dumps({**whole, **rules}), "vocabulary": '["a","b","c"]',
            "training": "{}", "digest": "0" * 64}  # fmt: skip


def as_socket(file: Path) -> None:
    here = os.getcwd()
    os.chdir(file.parent)  # a socket's path has at most 107 bytes
    try:
        with socket.socket(socket.AF_UNIX) as listening:
            listening.bind(file.name)
    finally:
        os.chdir(here)


HUGE = {"hidden_dim": 8192, "vocab_size": 300_000}
HUGE_BYTES = 4 * (2 * 300_000 * 8192 + 8192 * 8192 + 8192 + 300_000)


def consistent_hole(file: Path) -> None:
    start = header(metadata(**HUGE))
    sparse(file, start, len(start) + HUGE_BYTES)


MAKERS: list[tuple[Callable[[Path], object], str]] = [
    (os.mkfifo, "is a pipe, it must be a regular file"),
    (lambda file: file.symlink_to("/dev/zero"), "is a device"),
    (lambda file: file.symlink_to("/dev/stdin"), "is a|was cut|is not|no such file"),
    (lambda file: file.mkdir(), "is a folder"),
    (as_socket, "is a socket"),
    (lambda file: file.symlink_to(file), "cannot be read"),
    (lambda file: file.symlink_to("nowhere"), "no such file"),
    (lambda file: file.write_bytes(b""), "cut short"),
    (lambda file: file.write_bytes(b"1234567"), "cut short"),
    (lambda file: sparse(file, b"", 10 * GIGABYTE), "not a safetensors file"),
    (
        lambda file: sparse(file, struct.pack("<Q", 9 * GIGABYTE), 10 * GIGABYTE),
        "its header claims 9,000,000,000 bytes",
    ),
    (lambda file: sparse(file, struct.pack("<Q", 2**63), 10 * GIGABYTE), "its header claims 9,223,372,036,854,775,808"),
    (lambda file: file.write_bytes(struct.pack("<Q", 2**64 - 1) + b"{}"), "its header claims"),
    (lambda file: sparse(file, header(metadata()), 10 * GIGABYTE), "has 10,000,000,000 bytes, its configuration says"),
    (lambda file: file.write_bytes(header(metadata(**HUGE))), "its configuration says 19,9"),
    (consistent_hole, "most of it is a hole"),
]


@pytest.mark.parametrize(("make", "message"), MAKERS)
def test_what_is_no_checkpoint_is_refused_without_being_read(
    make: Callable[[Path], object], message: str, tmp_path: Path
) -> None:
    make(tmp_path / FILE_NAME)
    before = bytes_read()
    said = refusal(tmp_path)
    assert bytes_read() - before < 1_000_000
    assert str(tmp_path / FILE_NAME) in said
    assert any(part in said for part in message.split("|")), said


def test_the_sizes_in_those_cases_are_those_of_the_configuration() -> None:
    shapes = ModelConfig("rnn", 1, **HUGE).parameter_shapes().values()
    assert sum(s[0] * (s[1] if len(s) == 2 else 1) for s in shapes) * 4 == HUGE_BYTES


@pytest.mark.parametrize(
    "name", ["a\0b", "x" * 300, "x" * 5000, "\udcff"], ids=["NUL", "long name", "long path", "not UTF-8"]
)
def test_a_name_that_no_file_has_is_a_sentence(name: str, tmp_path: Path) -> None:
    refusal(tmp_path / name)


ODD_VALUES: tuple[Any, ...] = (None, "", "x", -1, 0, 2**70, 1.0, 1e999, [], {}, [[]], {"a": {}})
HEADERS: list[object] = [
    [],
    None,
    "text",
    {},
    {"__metadata__": None},
    {"__metadata__": []},
    {"__metadata__": {"format": 1}},
    {"__metadata__": {"format": None}},
    {"__metadata__": {"format": "nextchar/1"}},
    {"__metadata__": {"format": "\x1b]0;x\x07" * 100_000}},
    *[
        {"__metadata__": {**metadata(), key: value}}
        for key in metadata()
        for value in ("", "null", "1e999", "NaN", "[]", "{}", '"a"', "[" * 100_000, '{"a":' * 5000, "9" * 5000,
                      "\ud800", '["\\ud800","b","c"]', '{"a":"\\ud800"}', "\0")
    ],
    *[
        {"__metadata__": metadata(**{key: value})}
        for key in ("cell", "num_layers", "hidden_dim", "vocab_size", "lowercase", "newlines", "normalisation", "x\x1b")
        for value in ODD_VALUES
    ],
]  # fmt: skip


@pytest.mark.parametrize("content", HEADERS, ids=lambda _: "")
def test_odd_headers_are_refused_in_one_short_line(content: object, tmp_path: Path) -> None:
    text = json.dumps(content).encode()
    file = tmp_path / FILE_NAME
    file.write_bytes(struct.pack("<Q", len(text)) + text + bytes(4 * (6 + 4 + 2 + 6 + 3)))
    said = refusal(tmp_path)
    assert said.isprintable()
    assert len(said) < 1000


@pytest.mark.parametrize("text", [b"[" * 100_000, b'{"a":' * 100_000, b"\xff\xfe{}", b'{"a":' + b"9" * 10_000 + b"}"])
def test_headers_that_break_a_parser_are_refused(text: bytes, tmp_path: Path) -> None:
    (tmp_path / FILE_NAME).write_bytes(struct.pack("<Q", len(text)) + text)
    refusal(tmp_path)


def test_a_file_renamed_over_one_that_is_being_read_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save(tmp_path, random_checkpoint(seed=1))
    first = load(tmp_path)

    def replace_then_read(*given: Any) -> bytes:
        save(tmp_path, random_checkpoint(seed=2))
        return files.read_tensors(*given)

    monkeypatch.setattr(checkpoints, "read_tensors", replace_then_read)
    assert load(tmp_path).digest == first.digest
    assert load(tmp_path).digest != first.digest


@pytest.mark.parametrize("change", ["cut", "grown", "overwritten", "emptied"])
def test_a_file_that_changes_while_it_is_read_is_refused(
    change: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / FILE_NAME
    save(tmp_path, random_checkpoint(hidden_dim=256))
    size = file.stat().st_size
    assert size > 2**17, "Python reads so much ahead from 3.14 on"

    def change_then_read(*given: Any) -> bytes:
        if change == "overwritten":
            with file.open("r+b") as opened:
                opened.seek(size - 100)
                opened.write(b"?" * 100)
        else:
            os.truncate(file, {"cut": size - 1, "grown": size + 1, "emptied": 0}[change])
        return files.read_tensors(*given)

    monkeypatch.setattr(checkpoints, "read_tensors", change_then_read)
    with pytest.raises(CheckpointError, match=r"damaged|cut short"):
        load(tmp_path)


def test_a_large_file_whose_bytes_are_all_there_is_no_hole(tmp_path: Path) -> None:
    zeros = random_checkpoint(hidden_dim=600)
    for array in zeros.parameters.values():
        array[:] = 0
    digest = save(tmp_path, zeros)
    assert load(tmp_path).digest == digest


def test_memory_that_is_not_there_is_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save(tmp_path, random_checkpoint())

    class NoMemory:
        def __init__(self, opened: Any) -> None:
            self.fileno = opened.fileno

        def read(self, _: int) -> bytes:
            raise MemoryError

    monkeypatch.setattr(
        checkpoints,
        "read_tensors",
        lambda opened, *given: files.read_tensors(NoMemory(opened), *given),  # type: ignore[arg-type]
    )
    assert "there is no memory for them" in refusal(tmp_path)


@pytest.mark.parametrize(
    ("blocks", "is_read"),
    [([0, 2, 4, 6], False), ([0, 2, 4, 6, 8], True), ([9], False), ([*range(3, 9)], True), ([], False)],
)
def test_a_file_with_holes_is_read_where_half_of_it_or_more_was_written(
    blocks: list[int], is_read: bool, tmp_path: Path
) -> None:
    file, block, start = tmp_path / "islands", 65536, b"12345678"
    with file.open("wb") as opened:
        opened.write(start)
        opened.truncate(11 * block)
        for number in blocks:
            opened.seek((number + 1) * block)
            opened.write(bytes([number + 1]) * block)
    with file.open("rb") as opened:
        header = opened.read(block)  # the first block is none of the tensors'
        if is_read:
            assert files.read_tensors(opened, file, header, 10 * block) == file.read_bytes()
        else:
            with pytest.raises(CheckpointError, match="most of it is a hole"):
                files.read_tensors(opened, file, header, 10 * block)


def test_the_first_bytes_of_a_file_state_its_digest_however_long_its_vocabulary_is(tmp_path: Path) -> None:
    characters = "".join(map(chr, range(0x4E00, 0x4E00 + 20_000)))
    digest = save(tmp_path, random_checkpoint("lstm", 4, 2, characters))
    data = (tmp_path / FILE_NAME).read_bytes()
    assert files.stated_digest(data[: files.START_BYTES]) == digest


@pytest.mark.parametrize("start", [b"", b"rubbish", b'"digest":"' + b"a" * 63, b'"digest":"' + b"A" * 64 + b'"'])
def test_what_states_no_digest_states_none(start: bytes) -> None:
    assert files.stated_digest(start) == ""


@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o077, 0o600), (0o000, 0o644)])
def test_a_file_has_the_rights_that_the_umask_leaves(umask: int, mode: int, tmp_path: Path) -> None:
    before = os.umask(umask)
    try:
        save(tmp_path / "m", random_checkpoint())
    finally:
        os.umask(before)
    assert (tmp_path / "m" / FILE_NAME).stat().st_mode & 0o777 == mode
    assert [path.name for path in (tmp_path / "m").iterdir()] == [FILE_NAME]
