"""The track table in the forms that an export adds to it: in 4 bits, in cells, and on a map."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Final

import numpy as np
from numpy.typing import NDArray

from segue.axes import Int
from segue.errors import InputError
from segue.exported.folder import BLOCK, parts_in_four_bits

_STEPS: Final = np.float32(7.5)
"""Half the range of 4 bits."""
_ROWS: Final = 1 << 13
"""Rows turned into 4 bits at a time: their float32 stay in the cache."""
_SEED: Final = 1
_CELL_TRACKS: Final = 64
"""Tracks that each centre is made of, at least: more do not improve it."""
_SAMPLE: Final = 100_000
"""Most tracks that the axes of the map are computed from, at equal distances among those that may be ranked."""
_MAP_ROWS: Final = 1 << 17
"""Rows put on the map at a time."""


def scan_order(candidates: Int[np.ndarray, " C"]) -> NDArray[np.int32]:
    """Return the table row of each row of the scan, whole blocks of BLOCK, 0 = padding (at the end), int32 [N]."""
    order = np.zeros(-(-len(candidates) // BLOCK) * BLOCK, np.int32)
    order[: len(candidates)] = candidates
    return order


def in_four_bits(table: NDArray[np.float32], order: NDArray[np.int32]) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """Return rows of two values a byte, the first in the lower half, uint8 [N, P, W / 2], and their steps [N, P].

    A value is about step * (half - 8), within step / 2. P parts of W values, zeros behind the last of D, share a step.

    Args:
        table: float32 [R, D].
        order: table row of each, int32 [N]; 0 = a row of zeros.
    """
    width, (parts, together) = table.shape[1], parts_in_four_bits(table.shape[1])
    halves, steps = np.empty((len(order), parts, together // 2), np.uint8), np.empty((len(order), parts), np.float32)

    def make(begin: int) -> None:
        part = slice(begin, min(begin + _ROWS, len(order)))
        flat = np.zeros((part.stop - begin, parts * together), np.float32)
        flat[:, :width] = table[order[part]]
        flat[order[part] == 0] = 0.0
        rows = flat.reshape(-1, parts, together)
        largest = np.abs(rows).max(2)
        largest[largest == 0] = 1.0
        rows *= (_STEPS / largest)[:, :, None]
        rows += np.float32(8.5)  # and cut off: rounded
        whole = np.minimum(rows, np.float32(15.5)).astype(np.uint8)
        halves[part] = whole[:, :, 0::2] | (whole[:, :, 1::2] << 4)
        steps[part] = largest / _STEPS

    with ThreadPoolExecutor(2) as pool:
        for _ in pool.map(make, range(0, len(order), _ROWS)):
            pass
    return halves, steps


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
    if len(candidates) < 2 * _CELL_TRACKS:
        raise InputError(f"{len(candidates)} candidates need no index: leave --index out")
    step = max(len(candidates) // (_CELL_TRACKS * num), 1)
    means = faiss.Kmeans(table.shape[1], num, niter=10, seed=_SEED, min_points_per_centroid=1)
    means.train(table[candidates[::step]])
    centres: NDArray[np.float32] = np.ascontiguousarray(means.centroids, np.float32)
    cell = np.full(len(table), -1, np.int32)
    for part in np.array_split(candidates, len(candidates) // 65536 + 1):
        cell[part] = means.index.search(table[part], 1)[1][:, 0]
    return centres, cell


def principal_map(rows: NDArray[np.float32], shown: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Return each track's coordinates on the two principal axes of the tracks `shown`, float32 [V, 2].

    Principal component analysis (Pearson 1901), of rows scaled to length 1, whose angles are what a ranking sees. Each
    axis points where the third moment is positive, so that the same table always gives the same map; 1 is the largest
    deviation of a shown track on either axis. With fewer than three tracks, all are at 0.
    """
    coordinates = np.zeros((len(rows), 2), np.float32)
    chosen = np.flatnonzero(shown)
    sample = _unit(rows[chosen[:: max(len(chosen) // _SAMPLE, 1)]])
    if len(sample) < 3 or rows.shape[1] < 2:
        return coordinates
    mean = sample.mean(0)
    around = sample - mean
    _, axes = np.linalg.eigh(around.T @ around)  # ascending
    axes = axes[:, [-1, -2]]
    axes = axes * np.where(((around @ axes) ** 3).sum(0) < 0, -1.0, 1.0)
    reach = np.abs(around @ axes).max()
    for begin in range(0, len(rows), _MAP_ROWS):
        part = slice(begin, begin + _MAP_ROWS)
        coordinates[part] = (_unit(rows[part]) - mean) @ axes / (reach if reach > 0 else 1.0)
    return coordinates


def _unit(rows: NDArray[np.float32]) -> NDArray[np.float64]:
    wide = rows.astype(np.float64)
    length = np.linalg.norm(wide, axis=1, keepdims=True)
    unit: NDArray[np.float64] = wide / np.where(length > 0, length, 1.0)
    return unit
