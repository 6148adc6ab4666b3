"""Cells of the track space: a few hundred centres, and the one that each track lies nearest to."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from segue.axes import Int
from segue.errors import InputError

_SEED: Final = 1
_A_CELL: Final = 64
"""Tracks that each centre is made of, at least: more bring nothing."""


def make_cells(
    table: NDArray[np.float32], candidates: Int[np.ndarray, " C"]
) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
    """Return centres, float32 [L, D], and the cell of each table row, int32 [R], -1 = no candidate.

    L is about 2 sqrt(C). Cells are of k-means by distance, not by direction: what ranks is a dot product, and the long
    rows that win it get cells of their own.

    Raises:
        InputError: the package of the extra `index` is missing, or there are too few candidates.
    """
    try:
        import faiss
    except ImportError as error:
        raise InputError(
            "an index needs the package of its extra: pip install 'segue[index]' (faiss is missing)"
        ) from error
    num = int(2 * np.sqrt(len(candidates)))
    if len(candidates) < 2 * _A_CELL:
        raise InputError(f"{len(candidates)} candidates need no index: leave --index out")
    step = max(len(candidates) // (_A_CELL * num), 1)
    means = faiss.Kmeans(table.shape[1], num, niter=10, seed=_SEED, min_points_per_centroid=1)
    means.train(table[candidates[::step]])
    centres: NDArray[np.float32] = np.ascontiguousarray(means.centroids, np.float32)
    cell = np.full(len(table), -1, np.int32)
    for part in np.array_split(candidates, len(candidates) // 65536 + 1):
        cell[part] = means.index.search(table[part], 1)[1][:, 0]
    return centres, cell
