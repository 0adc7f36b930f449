"""The models by name: those that answer, why others do not, and which one answers when none is named.

A name is looked up in memory only: what a client sends never reaches the file system. `watch` keeps this in line with
what is on disk.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from app.refusals import CannotServe, NoSuchModel, Refusal
from app.scheduling.observer import Observer
from app.scheduling.scheduler import Scheduler
from model.errors import show
from model.language_model import LanguageModel
from model.versions import MODEL_NAME, Version

SHOWN_PROBLEMS = 3


@dataclass(frozen=True)
class Served:
    """A model that answers. Replaced as a whole when its file changes."""

    name: str
    lm: LanguageModel
    scheduler: Scheduler
    observer: Observer
    loaded_at: int  # seconds since 1970


class Registry:
    """remembered: the model that answered when none was named. trouble: why the models directory cannot be read."""

    def __init__(self, default_model: str | None = None) -> None:
        self.remembered: str | None = None
        self.trouble: str | None = None
        self._default_model = default_model
        self._served: dict[str, Served] = {}
        self._problems: dict[str, str] = {}
        self._unclear: dict[str, str] = {}
        self._versions: dict[str, Sequence[Version]] = {}

    # For the routes.

    def names(self) -> list[str]:
        """All that look like models, those that cannot serve included."""
        return sorted(self._served.keys() | self._problems.keys() | self._unclear.keys())

    def served(self) -> list[Served]:
        """May be asked from any thread."""
        return [served for _, served in sorted(self._served.copy().items())]

    def find(self, name: str) -> Served | None:
        return self._served.get(name)

    def problem(self, name: str) -> str | None:
        """Why the newest file of a model does not serve. An older one may: see `find`."""
        return self._unclear.get(name) or self._problems.get(name)

    def versions(self, name: str) -> Sequence[Version]:
        """What could be restored when the newest file was looked at."""
        return self._versions.get(name, ())

    def default(self) -> str | None:
        """The name that answers when none is given: the one set; else the one that did so before, as long as it is
        there; else the only one that is loaded."""
        if self._default_model is not None:
            return self._default_model
        if self.remembered is not None and (self.remembered in self._served or self.problem(self.remembered)):
            return self.remembered
        return next(iter(self._served)) if len(self._served) == 1 else None

    def get(self, name: str | None) -> Served:
        """The model of a name, None for the default one. Raises NoSuchModel or CannotServe."""
        name = self.default() if name is None else name
        if name is None:
            raise self._no_default()
        served = self._served.get(name)
        if served is not None:
            return served
        problem = self.problem(name)
        if problem is None:
            raise self._no_such(f"there is no {show(name)}")
        if not MODEL_NAME.fullmatch(name):
            raise self._no_such(f"{show(name)} is not served: {problem}")
        raise CannotServe(f"model {name} cannot serve: {problem}")

    def _no_default(self) -> Refusal:
        if self._served:
            return self._no_such(
                "is missing, and none of several is the default; name one, or set NEXTCHAR_DEFAULT_MODEL"
            )
        if self.trouble is not None:
            return CannotServe(f"no model is loaded; {self.trouble}")
        names = self.names()
        problems = [f"{show(name)} cannot serve: {self.problem(name)}" for name in names[:SHOWN_PROBLEMS]]
        why = "; ".join(problems) or "train one with nextchar train"
        return CannotServe(f"no model is loaded; {why}")

    def _no_such(self, message: str) -> NoSuchModel:
        return NoSuchModel(f"{message}; there are: {', '.join(sorted(self._served)) or 'none'}")

    # For whoever keeps it in line with what is on disk.

    def serve(self, served: Served) -> Served | None:
        """From now on this one answers under its name. Returns the one before it."""
        before = self._served.get(served.name)
        self._served[served.name] = served
        self._problems.pop(served.name, None)
        return before

    def cannot_serve(self, name: str, problem: str) -> None:
        """The newest file of a name cannot serve. One that answers already goes on."""
        self._problems[name] = problem

    def unclear(self, problems: dict[str, str]) -> None:
        """The folders that could not be looked at the last time, and why."""
        self._unclear = problems

    def list_versions(self, name: str, versions: Sequence[Version]) -> None:
        self._versions[name] = versions

    def remove(self, name: str) -> Served | None:
        """Its folder is gone. Returns what was served."""
        self._problems.pop(name, None)
        self._versions.pop(name, None)
        return self._served.pop(name, None)
