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

import model
from app.scheduling.answer_budget import AnswerBudget
from app.scheduling.observer import Observer
from app.scheduling.scheduler import Scheduler
from app.serving.look import Directory, Signature
from app.serving.off_loop import off_loop
from app.serving.registry import Registry, Served
from app.settings import Settings
from model.errors import DeviceError, NextcharError, brief, show
from model.versions import MODEL_NAME, versions

log = structlog.get_logger()

PATIENCE_S = 120.0  # how long the others wait while one is loaded; a first start compiles for a part of it
MAX_WAIT_S = 60.0  # until a file that could not be loaded is tried again
MAX_RETIRED = 8  # models that are still writing after they were replaced, before another is loaded
MISNAMED = f"its folder's name is not one that a model can have ({MODEL_NAME.pattern}); rename it"
FAILED_FIRST_STEP = "its first step failed; the log has the cause"


@dataclass(eq=False)
class _Folder:
    """What was last done with a folder. turn: over when its file is loaded, or takes too long. retry_at: of
    time.monotonic, when a file that could not be loaded is tried again."""

    signature: Signature | None = None
    turn: asyncio.Task[None] | None = None
    loading: asyncio.Task[None] | None = None
    wait_s: float = 0.0
    retry_at: float = inf
    reason: str | None = None

    def has_its_turn(self) -> bool:
        return self.turn is not None and not self.turn.done()

    def cancel(self) -> None:
        for task in (self.turn, self.loading):
            if task is not None:
                task.cancel()


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
        tasks = [self._looking, *(task for folder in self._folders.values() for task in (folder.turn, folder.loading))]
        begun = [task for task in tasks if task is not None]
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
        for name in self._folders.keys() - found.files.keys() - found.unclear.keys():
            self._gone(name)
        # What is unclear and could be no model's is nobody's business, as `lost+found` in a volume.
        registry.unclear({name: why for name, why in found.unclear.items() if MODEL_NAME.fullmatch(name)})
        for name, signature in found.files.items():
            self._seen(name, signature)
        await self._remember()

    async def _look_again(self) -> None:
        while True:
            await asyncio.sleep(self._settings.reload_s)
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

    def _seen(self, name: str, signature: Signature) -> None:
        folder = self._folders.setdefault(name, _Folder())
        if not MODEL_NAME.fullmatch(name):
            if folder.signature is None:
                log.error("model does not serve", model=show(name), reason=MISNAMED)
            folder.signature = signature
            self._registry.cannot_serve(name, MISNAMED)
        elif not folder.has_its_turn() and (signature != folder.signature or time.monotonic() >= folder.retry_at):
            folder.cancel()  # a load that hangs on the file before this one
            folder.signature, folder.retry_at = signature, inf
            if name not in self._registry.names():
                self._registry.cannot_serve(name, "is being loaded")
            folder.turn = asyncio.create_task(self._take_turn(name, folder))

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
            path = self._settings.models_dir / name
            self._registry.list_versions(name, await off_loop(partial(versions, path)))
            served = await self._open(name)
        except Exception as error:
            folder.wait_s = min(MAX_WAIT_S, max(self._settings.reload_s, 2 * folder.wait_s))
            folder.retry_at = time.monotonic() + folder.wait_s
            self._cannot_serve(name, folder, _reason(error), error)
            return
        folder.wait_s, folder.reason = 0.0, None
        before = self._registry.serve(served)
        if before is not None:
            self._retire(before)
        facts = _facts(served)
        served.observer.loaded(facts)
        log.info("model loaded", model=name, **facts)

    async def _open(self, name: str) -> Served:
        s = self._settings
        load = partial(model.load, s.models_dir / name, s.device, s.engine, s.threads, spin=False)
        lm = await off_loop(load)
        observer = self._observer_of(name)
        scheduler = Scheduler(
            lm.engine,
            lm.vocabulary,
            asyncio.get_running_loop(),
            time.perf_counter,
            max_rows=s.max_rows,
            max_queue=s.max_queue,
            cache_bytes=s.state_cache_mb * 2**20,
            observer=observer,
            stall_s=s.stall_s,
            budget=self._answers,
        )
        try:
            scheduler.start()
            await scheduler.first_step()
            if scheduler.last_step is None:
                raise DeviceError(FAILED_FIRST_STEP)
        except BaseException:
            scheduler.close()
            raise
        return Served(name, lm, scheduler, observer, int(time.time()))

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


def _facts(served: Served) -> dict[str, str]:
    lm, c = served.lm, served.lm.checkpoint.config
    return {
        "digest": lm.checkpoint.digest,
        "cell": c.cell,
        "num_layers": str(c.num_layers),
        "hidden_dim": str(c.hidden_dim),
        "vocab_size": str(c.vocab_size),
        "engine": lm.engine.name,
        "device": lm.engine.device,
    }
