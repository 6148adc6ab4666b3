"""A log divided so that each part fits memory and holds whole listeners or sessions."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segue.data.plays import aligned
from segue.data.spilled import InMemory, Spilled

Chunk = InMemory | Spilled
Piece = tuple[Chunk, int, int]
"""A chunk of the log, and the first row and the end of a part in it."""


def partitioned(chunks: Sequence[Chunk], owner: str, part: NDArray[np.int32]) -> Iterator[dict[str, NDArray[Any]]]:
    """Yield the arrays of each part in turn, its rows in the order of the chunks.

    `owner` names the array of codes that decides, `part` [codes] is the part of each.
    """
    num_parts = int(part.max(initial=0)) + 1
    ordered, bounds = list[Chunk](), list[NDArray[np.int64]]()
    for chunk in chunks:
        row_part = part[chunk.load(owner)] if num_parts > 1 else np.zeros(chunk.length(owner), np.int32)
        if (row_part[1:] < row_part[:-1]).any():
            order = np.argsort(row_part, kind="stable")
            row_part, chunk = row_part[order], chunk.in_order(order)
        ordered.append(chunk)
        bounds.append(np.searchsorted(row_part, np.arange(num_parts + 1)))
    for number in range(num_parts):
        pieces = [(one, int(ends[number]), int(ends[number + 1])) for one, ends in zip(ordered, bounds, strict=True)]
        yield _loaded(pieces)


def _loaded(pieces: Sequence[Piece]) -> dict[str, NDArray[Any]]:
    blocks = [{name: one.load(name, first, end) for name in one.names} for one, first, end in pieces if end > first]
    return {name: np.concatenate(parts) for name, parts in aligned(blocks).items()}
