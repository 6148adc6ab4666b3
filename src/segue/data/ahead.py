"""Work that threads do before its result is used; results come in the order of the items."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Final, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")

THREADS: Final = 2
"""Blocks in work at once. Polars has its own threads (two cores, 2026-11: 4 threads take 1.05x the time)."""
WAITING: Final = 4
"""Most blocks begun and not yet used; bounds the memory."""


def worked_ahead(work: Callable[[Item], Result], items: Iterable[Item], *, most: int | None = None) -> Iterator[Result]:
    """Yield `work(item)` of each item, in order; threads work on the next items while the caller uses a result.

    At most `most` items (default: `WAITING`) are begun and not yet used. Only the caller's thread reads `items`.
    """
    most = most or WAITING
    waiting: deque[Future[Result]] = deque()
    with ThreadPoolExecutor(THREADS) as pool:
        try:
            for item in items:
                waiting.append(pool.submit(work, item))
                if len(waiting) >= most:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()
