"""The candidates' rows in 4 bits, in the order and the layout that a scan reads."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Final

import numpy as np
from numpy.typing import NDArray

from segue.axes import Int
from segue.exported.folder import BLOCK, parts_in_four_bits

_STEPS: Final = np.float32(7.5)
"""Half the range of 4 bits."""
_ROWS: Final = 1 << 13
"""Rows made at a time: their float32 stay in the cache."""


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
