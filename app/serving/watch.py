"""Keeps the registry in line with the models directory: loads what is new or changed, retires what is gone.

A file that cannot be loaded, whatever the error, replaces nothing and holds up no other: it is named with its reason
and tried again later. Knows nothing of HTTP or of the figures that are kept. It is longer than two pages because what
is seen, being loaded, served, retired and tried again are states of one folder.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from math import inf

import structlog

from app.scheduling.answer_budget import AnswerBudget
from app.scheduling.observer import Observer
from app.scheduling.scheduler import Scheduler
from app.serving.loading import begin, facts, read
from app.serving.look import Directory, File, Signature
from app.serving.off_loop import off_loop
from app.serving.registry import Registry, Served
from app.settings import Settings
from model.errors import NextcharError, brief, show
from model.versions import MODEL_NAME, versions

log = structlog.get_logger()

PATIENCE_S = 120.0  # how long the others wait while one is loaded; a first start compiles for a part of it
CONFIRM_S = 1.0  # how long after a look that missed a folder there is another, at most
MAX_WAIT_S = 60.0  # until a file that could not be loaded is tried again
MAX_RETIRED = 8  # models that are still writing after they were replaced, before another is loaded
MISNAMED = f"its folder's name is not one that a model can have ({MODEL_NAME.pattern}); rename it"


@dataclass(eq=False)
class _Folder:
    """What was last done with a folder. file: as it was seen when its turn began. versions: as they were when they were
    listed. missed: by the last look. turn: over when its file is loaded, or takes too long. retry_at: of
    time.monotonic, when a file that could not be loaded is tried again."""

    file: File | None = None
    versions: Signature | None = None
    missed: bool = False
    turn: asyncio.Task[None] | None = None
    loading: asyncio.Task[None] | None = None
    listing: asyncio.Task[None] | None = None
    wait_s: float = 0.0
    retry_at: float = inf
    reason: str | None = None

    def has_its_turn(self) -> bool:
        return self.turn is not None and not self.turn.done()

    def tasks(self) -> list[asyncio.Task[None]]:
        return [task for task in (self.turn, self.loading, self.listing) if task is not None]

    def cancel(self) -> None:
        for task in self.tasks():
            task.cancel()

    def try_again(self, first_wait_s: float) -> None:
        """Later, and the later the oftener it was."""
        self.wait_s = min(MAX_WAIT_S, max(first_wait_s, 2 * self.wait_s))
        self.retry_at = time.monotonic() + self.wait_s


class Watch:
    def __init__(self, settings: Settings, registry: Registry, observer_of: Callable[[str], Observer]) -> None:
        self._settings = settings
        self._registry = registry
        self._observer_of = observer_of
        self._directory = Directory(settings.models_dir)
        self._folders: dict[str, _Folder] = {}
        self._turn = asyncio.Lock()
        self._answers = AnswerBudget(settings.max_answer_mb * 2**20)
        self._retired: dict[asyncio.Task[bool], Scheduler] = {}  # what still answers on weights of before
        self._looking: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Loads every model there is and begins to look for changes. One that hangs does not hold up the start."""
        await self.refresh()
        turns = [folder.turn for folder in self._folders.values() if folder.turn is not None]
        await asyncio.gather(*turns, return_exceptions=True)
        if self._settings.reload_s:
            self._looking = asyncio.create_task(self._look_again())

    async def stop(self) -> None:
        """Ends every decode thread; what is still open fails with Draining. A second call finds nothing to do."""
        begun = [task for folder in self._folders.values() for task in folder.tasks()]
        if self._looking is not None:
            begun.append(self._looking)
        for task in begun:
            task.cancel()
        for served in self._registry.served():
            self._registry.remove(served.name)
            self._retire(served)
        for scheduler in self._retired.values():
            scheduler.close()
        await asyncio.gather(*begun, *self._retired, return_exceptions=True)

    async def refresh(self) -> None:
        """Looks at the directory once and begins to load what has changed."""
        registry = self._registry
        try:
            found = await self._directory.look()
        except Exception as error:
            self._cannot_look(getattr(error, "strerror", None) or _reason(error))
            return
        registry.trouble = None
        if found is None:
            return
        if registry.remembered is None and found.default is not None and MODEL_NAME.fullmatch(found.default):
            registry.remembered = found.default
        for name, folder in list(self._folders.items()):
            missed_before, folder.missed = folder.missed, name not in found.files and name not in found.unclear
            if missed_before and folder.missed:  # once is the moment between two steps of whoever replaces it
                self._gone(name)
        # What is unclear and could be no model's is nobody's business, as `lost+found` in a volume.
        registry.unclear({name: why for name, why in found.unclear.items() if MODEL_NAME.fullmatch(name)})
        for name, file in found.files.items():
            self._seen(name, file, found.versions.get(name))
        await self._remember()

    async def _look_again(self) -> None:
        while True:
            missed = any(folder.missed for folder in self._folders.values())
            await asyncio.sleep(min(self._settings.reload_s, CONFIRM_S) if missed else self._settings.reload_s)
            try:
                await self.refresh()
            except Exception as error:
                log.error("looking for models failed", exc_info=error)

    def _cannot_look(self, reason: str) -> None:
        trouble = f"the models directory {self._settings.models_dir} cannot be listed ({reason})"
        if self._registry.trouble != trouble:
            log.error("cannot look for models", reason=trouble)
        self._registry.trouble = trouble

    def _gone(self, name: str) -> None:
        self._folders.pop(name).cancel()
        served = self._registry.remove(name)
        if served is not None:
            log.info("model removed", model=name)
            self._retire(served)

    def _seen(self, name: str, file: File, versions: Signature | None) -> None:
        folder = self._folders.setdefault(name, _Folder())
        if not MODEL_NAME.fullmatch(name):
            if folder.file is None:
                log.error("model does not serve", model=show(name), reason=MISNAMED)
            folder.file = file
            self._registry.cannot_serve(name, MISNAMED)
        elif folder.has_its_turn():
            return
        elif file != folder.file or time.monotonic() >= folder.retry_at:
            folder.cancel()  # a load that hangs on the file before this one
            folder.file, folder.versions, folder.retry_at = file, versions, inf
            if name not in self._registry.names():
                self._registry.cannot_serve(name, "is being loaded")
            folder.turn = asyncio.create_task(self._take_turn(name, folder))
        elif versions != folder.versions:
            folder.versions = versions
            folder.listing = asyncio.create_task(self._list_again(name))

    async def _take_turn(self, name: str, folder: _Folder) -> None:
        """One after the other. A load that hangs loses its turn and goes on by itself."""
        async with self._turn:
            folder.loading = asyncio.create_task(self._load(name, folder))
            await asyncio.wait({folder.loading}, timeout=PATIENCE_S)
        if not folder.loading.done():
            self._cannot_serve(name, folder, f"is still being loaded after {PATIENCE_S:g} s")
        await self._remember(folder)

    async def _load(self, name: str, folder: _Folder) -> None:
        while len(self._retired) >= MAX_RETIRED:
            await asyncio.wait(self._retired, return_when=asyncio.FIRST_COMPLETED)
        try:
            await self._list_versions(name)
            lm = await read(name, self._settings)
            before = self._registry.find(name)
            if before is None or before.lm.checkpoint.digest != lm.checkpoint.digest or before.scheduler.problem():
                served = await begin(name, lm, self._settings, self._observer_of(name), self._answers)
            else:
                served = before
        except Exception as error:
            folder.try_again(self._settings.reload_s)
            self._cannot_serve(name, folder, _reason(error), error)
            return
        folder.reason = None
        assert folder.file is not None
        if folder.file.digest in ("", lm.checkpoint.digest):
            folder.wait_s = 0.0
        else:  # another file than was looked at, which may be the one that is there or not
            folder.try_again(self._settings.reload_s)
        self._serve(served)

    async def _list_again(self, name: str) -> None:
        """Where only the versions changed, the model is left alone."""
        try:
            await self._list_versions(name)
        except Exception as error:
            log.info("versions cannot be listed", model=name, reason=_reason(error))

    async def _list_versions(self, name: str) -> None:
        listed = await off_loop(partial(versions, self._settings.models_dir / name))
        self._registry.list_versions(name, listed)

    def _serve(self, served: Served) -> None:
        before = self._registry.serve(served)
        if before is served:
            log.info("model is the same", model=served.name)
            return
        if before is not None:
            self._retire(before)
        known = facts(served)
        served.observer.loaded(known)
        log.info("model loaded", model=served.name, **known)

    def _cannot_serve(self, name: str, folder: _Folder, reason: str, error: Exception | None = None) -> None:
        self._registry.cannot_serve(name, reason)
        if folder.reason != reason:
            expected = error is None or isinstance(error, NextcharError)
            log.error("model does not serve", model=name, reason=reason, exc_info=None if expected else error)
        folder.reason = reason

    def _retire(self, served: Served) -> None:
        """What it was writing goes on to its end on the old weights: each request has its own time limit."""
        served.observer.retired()
        task = asyncio.create_task(served.scheduler.drain(self._settings.request_timeout_s))
        self._retired[task] = served.scheduler
        task.add_done_callback(self._retired.pop)
        task.add_done_callback(lambda _: served.observer.ended())

    async def _remember(self, over: _Folder | None = None) -> None:
        """Remembers the default model, once every file that was seen had its turn. over: has had it."""
        registry = self._registry
        name = registry.default()
        others = (folder for folder in self._folders.values() if folder is not over)
        if name in (None, registry.remembered, self._settings.default_model) or any(f.has_its_turn() for f in others):
            return
        registry.remembered = name
        try:
            await self._directory.remember(name)
        except Exception as error:
            log.info("the default model is remembered until this process ends only", reason=_reason(error))


def _reason(error: Exception) -> str:
    return brief(error if isinstance(error, NextcharError) else f"{type(error).__name__}: {error}".removesuffix(": "))
