"""Reads the Dockerfile: instructions in order, by stage, with what ENV sets. Only what this project's file uses."""

from __future__ import annotations

import json
import re
import shlex
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent


@dataclass
class Stage:
    name: str
    base: str
    instructions: list[tuple[str, str]] = field(default_factory=list)

    def values(self, word: str) -> list[str]:
        return [value for instruction, value in self.instructions if instruction == word]

    def last(self, word: str) -> str:
        return self.values(word)[-1]

    def exec_form(self, word: str) -> list[str]:
        form: list[str] = json.loads(self.last(word))
        return form

    def environment(self) -> dict[str, str]:
        pairs = [pair for value in self.values("ENV") for pair in shlex.split(value)]
        return dict(pair.split("=", 1) for pair in pairs)


@dataclass
class Dockerfile:
    arguments: dict[str, str]  # before the first FROM
    stages: list[Stage]

    def stage(self, name: str) -> Stage:
        return next(stage for stage in self.stages if stage.name == name)


def read(path: Path = ROOT / "Dockerfile") -> Dockerfile:
    # Comment lines may stand inside a continued instruction.
    text = re.sub(r"^\s*#.*\n", "", path.read_text("utf-8"), flags=re.MULTILINE)
    parsed = Dockerfile({}, [])
    for line in re.sub(r"\\\n", " ", text).splitlines():
        if not line.strip():
            continue
        word, value = line.split(maxsplit=1)
        if word == "FROM":
            base, *rest = value.split()
            parsed.stages.append(Stage(rest[-1] if rest else "final", base))
        elif not parsed.stages:
            name, _, default = value.partition("=")
            parsed.arguments[name] = default
        else:
            parsed.stages[-1].instructions.append((word, value.strip()))
    return parsed
