"""Jobs that wait for one thread, in batches."""

from __future__ import annotations

import queue
from collections.abc import Iterator
from typing import Final, TypeVar

T = TypeVar("T")
MOST_IN_BATCH: Final = 256
"""Most jobs of one batch."""


def batches(jobs: queue.SimpleQueue[T | None]) -> Iterator[list[T]]:
    """Yield all jobs that wait, in order, as soon as there is one; None in the queue is the end."""
    ending = False
    while not ending:
        batch: list[T] = []
        job = jobs.get()
        while job is not None:
            batch.append(job)
            if len(batch) == MOST_IN_BATCH:
                break
            try:
                job = jobs.get_nowait()
            except queue.Empty:
                break
        ending = job is None
        if batch:
            yield batch
