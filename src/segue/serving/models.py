"""The models that are served: each answers requests in batches, and can be replaced while the service runs."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

from segue.errors import InputError
from segue.exported.folder import open_export
from segue.exported.manifest import MANIFEST
from segue.serving.live_model import Answer, Asked, LiveModel, LongError, Suggestion

MOST_IN_BATCH: Final = 16
"""Most requests of one batch. A batch never waits for more requests to come."""
MOST_WAITING: Final = 2048
"""Most requests that may wait. More are refused, so that those that wait are answered in time."""


class BusyError(Exception):
    """Too many requests wait."""


class ServedModel:
    """One model behind a queue: the requests that come during one batch make the next one."""

    def __init__(self, live: LiveModel, worker: ThreadPoolExecutor) -> None:
        self.live = live
        self._worker = worker
        self._queue: deque[tuple[Asked, asyncio.Future[Answer]]] = deque()
        self._draining: asyncio.Task[None] | None = None

    async def next_tracks(self, request: Asked) -> Answer:
        """Return the answer to one request.

        Raises:
            BusyError: too many wait.
        """
        if len(self._queue) >= MOST_WAITING:
            raise BusyError
        future: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._queue.append((request, future))
        if self._draining is None or self._draining.done():
            self._draining = asyncio.create_task(self._drain())
        return await future

    async def similar(self, row: int, k: int) -> list[Suggestion]:
        """Return the `k` tracks most similar to that of `row`."""
        return await asyncio.get_running_loop().run_in_executor(self._worker, self.live.similar, row, k)

    async def _drain(self) -> None:
        """Answer batches until the queue is empty; an error goes to every request of its batch."""
        while self._queue:
            batch = [self._queue.popleft() for _ in range(min(MOST_IN_BATCH, len(self._queue)))]
            batch = [(request, future) for request, future in batch if not future.cancelled()]
            if not batch:
                continue
            try:
                answers = await self._answers([request for request, _ in batch])
            except Exception as error:
                for _, future in batch:
                    if not future.done():
                        future.set_exception(error)
                continue
            for (_, future), answer in zip(batch, answers, strict=True):
                if not future.done():
                    future.set_result(answer)

    async def _answers(self, requests: list[Asked]) -> list[Answer]:
        if self.live.is_light:
            await asyncio.sleep(0)  # lets requests that have arrived join the next batch
            with contextlib.suppress(LongError):
                return self.live.next_tracks_at_once(requests)
        return await asyncio.get_running_loop().run_in_executor(self._worker, self.live.next_tracks, requests)


class Models:
    """All models that are served; the first is the default."""

    def __init__(self, paths: Sequence[Path], threads: int = 2, probes: int = 0) -> None:
        """Open the exports at `paths`; with `probes`, search that many cells of those that have an index.

        Raises:
            FormatError: one is not an export, or is damaged. InputError: no path, two models of one name, or `probes`
                without an index.
        """
        self._threads, self._probes = threads, probes
        self._worker = ThreadPoolExecutor(1, "segue-ranking")
        self._paths = tuple(paths)
        self._served = self._opened()

    def named(self, name: str | None) -> ServedModel | None:
        """Return the model of this name, None = the default; None where there is no such model."""
        return next(iter(self._served.values())) if name is None else self._served.get(name)

    @property
    def every(self) -> list[ServedModel]:
        """All models, the default first."""
        return list(self._served.values())

    async def reload(self) -> None:
        """Open the exports again; until they are open, requests are answered by the old ones.

        Raises:
            FormatError, InputError: as in the constructor; the old ones stay.
        """
        self._served = await asyncio.get_running_loop().run_in_executor(None, self._opened)

    def changed(self) -> bool:
        """Return whether an export was replaced since it was opened."""
        return any(_written_at(path) != at for path, at in self._opened_at.items())

    def close(self) -> None:
        """End the worker thread."""
        self._worker.shutdown()

    def _opened(self) -> dict[str, ServedModel]:
        served: dict[str, ServedModel] = {}
        self._opened_at = {path: _written_at(path) for path in self._paths}
        for path in self._paths:
            live = LiveModel(open_export(path), self._threads, self._probes)
            if live.name in served:
                raise InputError(
                    f"{path} is called {live.name!r}, as another model is; export it again with --name SOMETHING"
                )
            served[live.name] = ServedModel(live, self._worker)
        if not served:
            raise InputError("nothing to serve; name at least one export or run")
        if self._probes and not any(model.live.export.cells for model in served.values()):
            raise InputError("--index: no export has one; make it by segue export RUN DIR --index")
        return served


def _written_at(path: Path) -> int | None:
    """Return when the manifest of an export was written, in nanoseconds; None while there is none."""
    try:
        return (path / MANIFEST).stat().st_mtime_ns
    except OSError:
        return None
