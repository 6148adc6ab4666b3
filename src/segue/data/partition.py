"""A log on disk, divided so that each part fits memory and holds whole listeners or sessions."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segue.data.plays import aligned
from segue.data.spilled import Spilled

Piece = tuple[Spilled, int, int]
"""A scratch file, and the first row and the end of a part in it."""


def partitioned(
    chunks: Sequence[Spilled], folder: Path, owner: str, part: NDArray[np.int32]
) -> Iterator[dict[str, NDArray[Any]]]:
    """Yield the arrays of each part in turn, its rows in the order of the chunks.

    `owner` names the array of codes that decides, `part` [codes] is the part of each. Chunks whose rows are not in the
    order of the parts are written anew into `folder`.
    """
    num_parts = int(part.max(initial=0)) + 1
    files, bounds = list[Spilled](), list[NDArray[np.int64]]()
    for number, chunk in enumerate(chunks):
        place = part[chunk.load(owner)] if num_parts > 1 else np.zeros(chunk.length(owner), np.int32)
        if (place[1:] < place[:-1]).any():
            order = np.argsort(place, kind="stable")
            file, place = folder / f"divided-{number:05d}", place[order]
            divided = Spilled.write(file, {name: [chunk.load(name)[order]] for name in chunk.places})
            chunk.file.unlink()
            chunk = divided
        files.append(chunk)
        bounds.append(np.searchsorted(place, np.arange(num_parts + 1)))
    for number in range(num_parts):
        pieces = [(file, int(ends[number]), int(ends[number + 1])) for file, ends in zip(files, bounds, strict=True)]
        yield _loaded(pieces)


def _loaded(pieces: Sequence[Piece]) -> dict[str, NDArray[Any]]:
    blocks = [{name: file.load(name, first, end) for name in file.places} for file, first, end in pieces if end > first]
    return {name: np.concatenate(parts) for name, parts in aligned(blocks).items()}
