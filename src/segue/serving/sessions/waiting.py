"""Jobs that wait for one thread, taken together."""

from __future__ import annotations

import queue
from collections.abc import Iterator
from typing import Final, TypeVar

T = TypeVar("T")
TOGETHER: Final = 256
"""Jobs that are done at once, at most."""


def batches(jobs: queue.SimpleQueue[T | None]) -> Iterator[list[T]]:
    """Yield all jobs that wait, in order, as soon as there is one; None among them is the last."""
    ending = False
    while not ending:
        first = jobs.get()
        found = [] if first is None else [first]
        ending = first is None
        while found and len(found) < TOGETHER and not ending:
            try:
                following = jobs.get_nowait()
            except queue.Empty:
                break
            ending = following is None
            found += [] if following is None else [following]
        if found:
            yield found
