"""The models that are served, by name: many requests at a time, one batch after another; exchanged while it runs."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from segue.errors import InputError
from segue.exported.folder import open_export
from segue.exported.manifest import MANIFEST
from segue.serving.live_model import Answer, Asked, LiveModel, LongError, Suggestion

TOGETHER: Final = 16
"""Requests of one batch, at most: those who come first do not wait for more."""
WAITING: Final = 2048
"""Requests that may wait; more are refused, so that those who wait are answered in time."""


class BusyError(Exception):
    """Too many requests wait."""


@dataclass
class _Waiting:
    asked: Asked
    answer: asyncio.Future[Answer]


class ServedModel:
    """One model behind a queue: requests that come while a batch is worked out make the next one."""

    def __init__(self, live: LiveModel, worker: ThreadPoolExecutor) -> None:
        self.live = live
        self._worker = worker
        self._waiting: deque[_Waiting] = deque()
        self._draining: asyncio.Task[None] | None = None

    async def next_tracks(self, asked: Asked) -> Answer:
        """Return the answer to one request.

        Raises:
            BusyError: too many wait.
        """
        if len(self._waiting) >= WAITING:
            raise BusyError
        waiting = _Waiting(asked, asyncio.get_running_loop().create_future())
        self._waiting.append(waiting)
        if self._draining is None or self._draining.done():
            self._draining = asyncio.create_task(self._drain())
        return await waiting.answer

    async def similar(self, row: int, k: int) -> list[Suggestion]:
        """Return tracks near that of `row`."""
        return await asyncio.get_running_loop().run_in_executor(self._worker, self.live.similar, row, k)

    async def _drain(self) -> None:
        while self._waiting:
            batch = [self._waiting.popleft() for _ in range(min(TOGETHER, len(self._waiting)))]
            batch = [waiting for waiting in batch if not waiting.answer.cancelled()]
            if not batch:
                continue
            try:
                asked = [waiting.asked for waiting in batch]
                answers = await self._answers(asked)
            except Exception as error:  # of a batch that cannot be worked out every request hears
                for waiting in batch:
                    if not waiting.answer.done():
                        waiting.answer.set_exception(error)
                continue
            for waiting, answer in zip(batch, answers, strict=True):
                if not waiting.answer.done():
                    waiting.answer.set_result(answer)

    async def _answers(self, asked: list[Asked]) -> list[Answer]:
        if self.live.is_light:
            await asyncio.sleep(0)  # what has come meanwhile makes the next batch
            with contextlib.suppress(LongError):
                return self.live.next_tracks_at_once(asked)
        return await asyncio.get_running_loop().run_in_executor(self._worker, self.live.next_tracks, asked)


class Models:
    """All models that are served; the first is the default."""

    def __init__(self, paths: Sequence[Path], threads: int = 2, probes: int = 0) -> None:
        """Open the exports at `paths`; with `probes`, look into so many cells of those that have an index.

        Raises:
            FormatError: one is no export, or damaged. InputError: none, two of one name, or none with an index where
                one is asked for.
        """
        self._threads, self._probes = threads, probes
        self._worker = ThreadPoolExecutor(1, "segue-ranking")
        self._paths = tuple(paths)
        self._served = self._opened()

    def named(self, name: str | None) -> ServedModel | None:
        """Return the model called `name`, None = the default; None where there is none."""
        return next(iter(self._served.values())) if name is None else self._served.get(name)

    @property
    def every(self) -> list[ServedModel]:
        """All of them, the default first."""
        return list(self._served.values())

    async def reload(self) -> None:
        """Open the exports anew; what is asked meanwhile, and what waits, is answered by the old ones.

        Raises:
            FormatError, InputError: as on opening; the old ones stay.
        """
        self._served = await asyncio.get_running_loop().run_in_executor(None, self._opened)

    def changed(self) -> bool:
        """Return whether an export was replaced since it was opened."""
        return any(_manifest_at(path) != at for path, at in self._opened_at.items())

    def close(self) -> None:
        """Let the worker end."""
        self._worker.shutdown()

    def _opened(self) -> dict[str, ServedModel]:
        found: dict[str, ServedModel] = {}
        self._opened_at = {path: _manifest_at(path) for path in self._paths}
        for path in self._paths:
            live = LiveModel(open_export(path), self._threads, self._probes)
            if live.name in found:
                raise InputError(
                    f"{path} is called {live.name!r}, as another model is; export it again with --name SOMETHING"
                )
            found[live.name] = ServedModel(live, self._worker)
        if not found:
            raise InputError("nothing to serve; name at least one export or run")
        if self._probes and not any(served.live.export.cells for served in found.values()):
            raise InputError("--index: no export has one; make it by segue export RUN DIR --index")
        return found


def _manifest_at(path: Path) -> int | None:
    """Return when the manifest of an export was written, None where there is none at the moment."""
    try:
        return (path / MANIFEST).stat().st_mtime_ns
    except OSError:
        return None
