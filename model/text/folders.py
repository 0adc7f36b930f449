"""What is in a folder, in the order that a person expects. Knows nothing of what the files hold."""

from __future__ import annotations

import os
import re
import unicodedata
from pathlib import Path, PurePath
from typing import Any

from model.errors import brief
from model.text.stored import unreadable

# What systems put beside people's files; nobody misses it, so it is left out without a word.
_OF_SYSTEMS = frozenset({"__MACOSX", ".DS_Store", "Thumbs.db", "desktop.ini"})

_CHINESE = "〇一二三四五六七八九"
_UNITS = {"十": 10, "百": 100, "千": 1000}
_NUMBER = re.compile(f"([0-9]+|[{_CHINESE}{''.join(_UNITS)}]{{1,12}})")

LeftOut = list[tuple[str, str]]  # names, each with why


def listed(folder: Path, without: Path | None = None) -> tuple[list[PurePath], LeftOut]:
    """The files below a folder, in natural order, and what else is there with why it is left out.

    Links are followed; each folder is read once, so a circle of links ends. `without`: a folder that is left out.

    Raises CorpusError for a folder that cannot be read.
    """
    above = {_identity(outer) for outer in folder.resolve().parents}
    seen = {_identity(folder)}
    model = _identity(without) if without is not None else None
    files: list[PurePath] = []
    left_out: LeftOut = []
    waiting = [PurePath()]
    while waiting:
        inside = waiting.pop()
        for name in _names(folder / inside):
            relative, why = inside / name, ""
            path = folder / relative
            if is_of_system(name):
                continue
            if name.startswith("."):
                why = "is hidden"
            elif os.path.isdir(path):
                identity = _identity(path)
                if identity == model:
                    why = "is the folder of the model"
                elif identity in above:
                    why = "is a link to a folder that holds this one"
                elif identity in seen:
                    why = "is a link to a folder that is read anyway"
                else:
                    seen.add(identity)
                    waiting.append(relative)
            elif os.path.isfile(path):
                files.append(relative)
            else:
                why = "is a link to nothing" if path.is_symlink() else "is neither a file nor a folder"
            if why:
                left_out.append((brief(relative.as_posix()), why))
    return sorted(files, key=lambda path: in_order(path.parts)), left_out


def is_of_system(name: str) -> bool:
    return name in _OF_SYSTEMS or name.startswith("._")


def in_order(parts: tuple[str, ...]) -> list[Any]:
    """A key that puts paths in natural order: ch2.txt before ch10.txt and 第二章 before 第十章, whatever their case."""
    return [(*map(_natural, os.path.splitext(part)), part) for part in parts]


def _natural(name: str) -> list[Any]:
    parts: list[Any] = _NUMBER.split(unicodedata.normalize("NFKC", name).casefold())
    parts[1::2] = [(len(digits), digits) for digits in map(_digits, parts[1::2])]
    return parts


def _digits(number: str) -> str:
    """A number in digits, without zeros in front."""
    if number.isascii():
        return number.lstrip("0")
    value, last = 0, 0
    for character in number:
        if character in _UNITS:
            value, last = value + (last or 1) * _UNITS[character], 0
        else:
            last = 10 * last + _CHINESE.index(character)
    return str(value + last)


def _names(folder: Path) -> list[str]:
    try:
        return sorted(os.listdir(folder))
    except OSError as error:
        raise unreadable(brief(folder), error) from error


def _identity(folder: Path) -> tuple[int, int] | None:
    try:
        found = os.stat(folder)
    except OSError:
        return None
    return found.st_dev, found.st_ino
