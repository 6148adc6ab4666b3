"""The candidates' rows in 8 and in 4 bits, in the order and the layouts that a scan reads."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Final

import numpy as np
from numpy.typing import NDArray

from segue.axes import Int
from segue.exported.folder import BLOCK, parts_in_four_bits

LARGEST: Final = 127
"""Values lie in [-127, 127], so that their negatives exist."""
_ROWS: Final = 1 << 16
"""Rows made at a time."""
_HALVED: Final = 1 << 13
"""Rows made to 4 bits at a time: their float32 stay in the cache."""
_STEPS: Final = np.float32(7.5)
"""Half the range of 4 bits."""


def scan_order(table: NDArray[np.float32], candidates: Int[np.ndarray, " C"]) -> NDArray[np.int32]:
    """Return the table row of each column, whole blocks of BLOCK, 0 = padding (at the end), int32 [N].

    By falling largest absolute value: rows of one block share a scale, and lose least where they are alike in it.
    """
    largest = np.concatenate(
        [np.abs(table[part]).max(1) for part in np.array_split(candidates, len(candidates) // _ROWS + 1)]
    )
    columns = -(-len(candidates) // BLOCK) * BLOCK
    order = np.zeros(columns, np.int32)
    order[: len(candidates)] = candidates[np.argsort(-largest, kind="stable")]
    return order


def in_eight_bits(table: NDArray[np.float32], order: NDArray[np.int32]) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """Return int8 columns [D, N] and the scale of each block, float32 [N / BLOCK].

    A row is about scale * column, each value within scale / 2. A block of zeros has scale 1.
    """
    columns = np.empty((table.shape[1], len(order)), np.int8)
    scales = np.ones(len(order) // BLOCK, np.float32)
    for begin in range(0, len(order), _ROWS):  # _ROWS is a number of whole blocks
        part = slice(begin, min(begin + _ROWS, len(order)))
        rows = table[order[part]]
        rows[order[part] == 0] = 0.0
        largest = np.abs(rows).reshape(-1, BLOCK * table.shape[1]).max(1)
        scale = np.where(largest > 0, largest / LARGEST, 1.0).astype(np.float32)
        scales[part.start // BLOCK : part.stop // BLOCK] = scale
        columns[:, part] = np.rint(rows / np.repeat(scale, BLOCK)[:, None]).clip(-LARGEST, LARGEST).T
    return columns, scales


def in_four_bits(
    columns: NDArray[np.int8], scale: NDArray[np.float32]
) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """Return rows of two values a byte, the first in the lower half, uint8 [N, P, W / 2], and their steps [N, P].

    A value is about step * (half - 8), within step / 2. P parts of W values, zeros behind the last of D, share a step.

    Args:
        columns: int8 [D, N], N a number of whole blocks.
        scale: float32 [N / BLOCK].
    """
    (width, num), (parts, together) = columns.shape, parts_in_four_bits(len(columns))
    halves, steps = np.empty((num, parts, together // 2), np.uint8), np.empty((num, parts), np.float32)

    def make(begin: int) -> None:
        part = slice(begin, min(begin + _HALVED, num))
        rows = np.zeros((part.stop - begin, parts * together), np.float32)
        rows[:, :width] = columns[:, part].T
        rows = rows.reshape(-1, parts, together)
        largest = np.maximum(np.abs(rows).max(2), np.float32(1.0))
        rows *= (_STEPS / largest)[:, :, None]
        rows += np.float32(8.5)  # and cut off: rounded
        whole = np.minimum(rows, np.float32(15.5)).astype(np.uint8)
        halves[part] = whole[:, :, 0::2] | (whole[:, :, 1::2] << 4)
        steps[part] = np.repeat(scale[begin // BLOCK : part.stop // BLOCK], BLOCK)[:, None] * largest / _STEPS

    with ThreadPoolExecutor(2) as pool:
        for _ in pool.map(make, range(0, num, _HALVED)):
            pass
    return halves, steps
