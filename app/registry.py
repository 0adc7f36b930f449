"""The models on disk, each with its scheduler; what fails to verify, with the reason. Picks up changes while running.

A name is looked up in memory only: what a client sends never reaches the file system.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from dataclasses import dataclass
from pathlib import Path

import structlog
import watchfiles

import model
from app.errors import ProblemError, show
from app.metrics import Metrics, ModelMetrics
from app.scheduler import Scheduler
from app.settings import Settings
from model.checkpoint import FILE_NAME
from model.errors import NextcharError
from model.language_model import LanguageModel
from model.versions import MODEL_NAME

log = structlog.get_logger()

Signature = tuple[int, int, int]  # inode, size, time of change in ns: a replaced file differs in one at least


@dataclass(frozen=True)
class Served:
    """A model that answers. Replaced as a whole when its file changes."""

    name: str
    lm: LanguageModel
    scheduler: Scheduler
    loaded_at: int  # seconds since 1970


class Registry:
    def __init__(self, settings: Settings, metrics: Metrics) -> None:
        self._settings = settings
        self._metrics = metrics
        self._served: dict[str, Served] = {}
        self._problems: dict[str, str] = {}
        self._signatures: dict[str, Signature] = {}
        self._retired: dict[asyncio.Task[bool], Scheduler] = {}  # what still answers on weights of before
        self._watcher: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Loads every model there is and begins to watch for changes."""
        await self.refresh()
        if self._settings.reload_s:
            self._watcher = asyncio.create_task(self._watch())

    async def stop(self) -> None:
        """Ends every decode thread; what is still open fails with Draining. A second call finds nothing to do."""
        if self._watcher is not None:
            self._watcher.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._watcher
        for name in list(self._served):
            self._retire(name)
        for scheduler in self._retired.values():
            scheduler.close()
        await asyncio.gather(*self._retired)

    def names(self) -> list[str]:
        return sorted(self._served.keys() | self._problems.keys())

    def served(self) -> list[Served]:
        return [self._served[name] for name in sorted(self._served)]

    def find(self, name: str) -> Served | None:
        return self._served.get(name)

    def problem(self, name: str) -> str | None:
        """Why the newest file of a model does not serve. An older one may: see `get`."""
        return self._problems.get(name)

    def default(self) -> str | None:
        """The name that answers when none is given: the one set, or the only one there is."""
        if self._settings.default_model is not None:
            return self._settings.default_model
        names = self.names()
        return names[0] if len(names) == 1 else None

    def get(self, name: str | None) -> Served:
        """The model of a name, None for the default one. Raises ProblemError 404, or 503 where it cannot serve."""
        if name is None:
            name = self.default()
            if name is None:
                if not self.names():
                    raise ProblemError(503, "no model is loaded; train one with scripts/train.py", retry_after_s=5)
                raise self._not_found("model: is missing, and there is no default among several")
        served = self._served.get(name)
        if served is not None:
            return served
        if name in self._problems:
            raise ProblemError(503, f"model {name} cannot serve: {self._problems[name]}", retry_after_s=5)
        raise self._not_found(f"model: there is no {show(name)}")

    def _not_found(self, message: str) -> ProblemError:
        detail = f"{message}; there are: {', '.join(self.names()) or 'none'}"
        return ProblemError(404, detail, errors=[{"field": "model", "message": detail}], code="model_not_found")

    async def refresh(self) -> None:
        """Brings what is served in line with what is on disk. A file that does not verify replaces nothing."""
        found = await asyncio.to_thread(self._scan)
        for name in list(self._signatures.keys() - found.keys()):
            self._signatures.pop(name)
            self._problems.pop(name, None)
            if name in self._served:
                log.info("model removed", model=name)
                self._retire(name)
        for name, signature in found.items():
            if self._signatures.get(name) != signature:
                self._signatures[name] = signature
                await self._load(name)

    def _scan(self) -> dict[str, Signature]:
        found = {}
        try:
            folders = sorted(self._settings.models_dir.iterdir())
        except OSError:
            return {}
        for folder in folders:
            with contextlib.suppress(OSError):  # not there, or gone since: no model
                stat = (folder / FILE_NAME).stat()
                if MODEL_NAME.fullmatch(folder.name):
                    found[folder.name] = (stat.st_ino, stat.st_size, stat.st_mtime_ns)
        return found

    async def _load(self, name: str) -> None:
        s = self._settings
        try:
            lm = await asyncio.to_thread(
                model.load, Path(s.models_dir) / name, s.device, s.backend, s.threads, spin=False
            )
        except NextcharError as error:
            self._problems[name] = str(error)
            log.error("model does not serve", model=name, reason=str(error))
            return
        scheduler = Scheduler(
            lm.engine,
            lm.vocabulary,
            max_rows=s.max_rows,
            max_queue=s.max_queue,
            cache_bytes=s.state_cache_mb * 2**20,
            observer=ModelMetrics(self._metrics, name),
        )
        scheduler.start()
        await scheduler.first_step()
        self._problems.pop(name, None)
        if name in self._served:
            self._retire(name)
        self._served[name] = Served(name, lm, scheduler, int(time.time()))
        c = lm.checkpoint.config
        self._metrics.info.labels(name).info(
            {
                "digest": lm.checkpoint.digest,
                "cell": c.cell,
                "num_layers": str(c.num_layers),
                "hidden_dim": str(c.hidden_dim),
                "vocab_size": str(c.vocab_size),
                "engine": lm.engine.name,
                "device": lm.engine.device,
            }
        )
        log.info("model loaded", model=name, engine=lm.engine.name, device=lm.engine.device, cell=c.cell)

    def _retire(self, name: str) -> None:
        """Takes a model out of service at once; what it was writing goes on to its end on the old weights."""
        served = self._served.pop(name)
        self._metrics.info.remove(name)
        task = asyncio.create_task(served.scheduler.drain(self._settings.drain_s))
        self._retired[task] = served.scheduler
        task.add_done_callback(self._retired.pop)

    async def _watch(self) -> None:
        directory = self._settings.models_dir
        while True:
            if not directory.is_dir():  # it may come later
                await asyncio.sleep(self._settings.reload_s)
                continue
            await self.refresh()
            debounce = min(50, int(self._settings.reload_s * 1000))
            async for _ in watchfiles.awatch(
                directory, debounce=max(1, int(self._settings.reload_s * 1000)), step=max(1, debounce), recursive=True
            ):
                await self.refresh()
                if not directory.is_dir():
                    break
